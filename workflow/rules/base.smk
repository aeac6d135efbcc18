# Training of the embedded base model, `snakemake base`: hours on 2 cores. No rule of the default
# run needs it, since models/dseg-tiny is shipped; so the model's files are not outputs here.
rule base_encoder:
    input:
        settings=plan.stamp("base"),
        code=plan.code("base"),
    output:
        encoder=plan.artifact("base/encoder.safetensors"),
    log:
        plan.log("base/encoder"),
    conda:
        "../../environment.yml"
    shell:
        "python -m dseg base-encoder --settings {input.settings} --out $(dirname {output.encoder})"
        " 2>&1 | tee {log}"


rule base_decoder:
    input:
        rules.base_encoder.output,
        settings=plan.stamp("base"),
        code=plan.code("base"),
    output:
        autoencoder=plan.artifact("base/autoencoder.safetensors"),
        curve=plan.artifact("base/autoencoder.csv"),
    log:
        plan.log("base/decoder"),
    conda:
        "../../environment.yml"
    shell:
        "python -m dseg base-decoder --settings {input.settings}"
        " --out $(dirname {output.autoencoder})"
        " 2>&1 | tee {log}"


# Its checkpoints are no outputs either: Snakemake would delete them when it is interrupted.
rule base_unet:
    input:
        rules.base_encoder.output,
        settings=plan.stamp("base"),
        code=plan.code("base"),
    output:
        touch(plan.artifact("base/unet.done")),
    log:
        plan.log("base/unet"),
    conda:
        "../../environment.yml"
    threads: plan.settings.base.unet.processes
    shell:
        "python -m dseg base-unet --settings {input.settings} --out $(dirname {output})"
        " 2>&1 | tee {log}"


rule base_curve:
    input:
        rules.base_unet.output,
        rules.base_decoder.output,
        instruments=rules.instruments.output.quality,
        val=plan.artifact("world/val"),
        settings=plan.stamp("base_curve"),
        code=plan.code("base_curve"),
    output:
        plan.artifact("base/learning.csv"),
    log:
        plan.log("base/curve"),
    conda:
        "../../environment.yml"
    shell:
        "python -m dseg base-curve --settings {input.settings} --training $(dirname {output})"
        " --instruments $(dirname {input.instruments}) --val {input.val} --out {output}"
        " 2>&1 | tee {log}"


rule base_card:
    input:
        rules.base_unet.output,
        rules.base_decoder.output,
        learning=rules.base_curve.output,
        instruments=rules.instruments.output.quality,
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
        model="models/dseg-tiny",
    shell:
        "(python -m dseg base-export --settings {input.training} --training $(dirname {output})"
        " --out {params.model} &&"
        " python -m dseg base-card --settings {input.settings} --training $(dirname {output})"
        " --val {input.val} --model {params.model} --learning {input.learning}"
        " --instruments $(dirname {input.instruments})) 2>&1 | tee {log}"


rule base:
    input:
        rules.base_card.output,
    localrule: True
