# Training of the embedded base model, `snakemake base`: hours on 2 cores. No rule of the default
# run needs it, since models/dseg-tiny is shipped; so the model's files are not outputs here.
rule base_autoencoder:
    input:
        settings=plan.stamp("base"),
        code=plan.code("base"),
    output:
        plan.artifact("base/encoder.safetensors"),
        plan.artifact("base/autoencoder.safetensors"),
        plan.artifact("base/autoencoder.csv"),
    log:
        plan.log("base/autoencoder"),
    conda:
        "../../environment.yml"
    params:
        out=plan.artifact("base"),
    shell:
        "python -m dseg base-autoencoder --settings {input.settings} --out {params.out}"
        " 2>&1 | tee {log}"


# Its checkpoints are no outputs either: Snakemake would delete them when it is interrupted.
rule base_unet:
    input:
        rules.base_autoencoder.output,
        settings=plan.stamp("base"),
        code=plan.code("base"),
    output:
        touch(plan.artifact("base/unet.done")),
    log:
        plan.log("base/unet"),
    conda:
        "../../environment.yml"
    threads: plan.settings.base.unet.processes
    params:
        out=plan.artifact("base"),
    shell:
        "python -m dseg base-unet --settings {input.settings} --out {params.out} 2>&1 | tee {log}"


rule base_card:
    input:
        rules.base_unet.output,
        val=plan.artifact("world/val"),
        training=plan.stamp("base"),
        settings=plan.stamp("base_card"),
        code=plan.code("base_card"),
    output:
        touch(plan.artifact("base/card.done")),
    log:
        plan.log("base/card"),
    conda:
        "../../environment.yml"
    params:
        out=plan.artifact("base"),
        model="models/dseg-tiny",
    shell:
        "(python -m dseg base-export --settings {input.training} --training {params.out}"
        " --out {params.model} &&"
        " python -m dseg base-card --settings {input.settings} --training {params.out}"
        " --val {input.val} --model {params.model}) 2>&1 | tee {log}"


rule base:
    input:
        rules.base_card.output,
    localrule: True
