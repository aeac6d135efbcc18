# Training of an embedded base model, `snakemake base`: hours on 2 cores. No rule of the default
# run needs it, since the models are shipped; so the model's files are not outputs here.
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
    params:
        training=subpath(output.encoder, parent=True),
    shell:
        "python -m dseg stage base-encoder --settings {input.settings:q} --out {params.training:q}"
        " 2>&1 | tee {log:q}"


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
    params:
        training=subpath(output.autoencoder, parent=True),
    shell:
        "python -m dseg stage base-decoder --settings {input.settings:q} --out {params.training:q}"
        " 2>&1 | tee {log:q}"


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
    params:
        training=subpath(output[0], parent=True),
    shell:
        "python -m dseg stage base-unet --settings {input.settings:q} --out {params.training:q}"
        " 2>&1 | tee {log:q}"


rule base_curve:
    input:
        rules.base_unet.output,
        rules.base_decoder.output,
        instruments=rules.instruments.output.quality,
        val=plan.base_val,
        settings=plan.stamp("base_curve"),
        code=plan.code("base_curve"),
    output:
        plan.artifact("base/learning.csv"),
    log:
        plan.log("base/curve"),
    conda:
        "../../environment.yml"
    params:
        training=subpath(output[0], parent=True),
        instruments=subpath(input.instruments, parent=True),
    shell:
        "python -m dseg stage base-curve --settings {input.settings:q} --training {params.training:q}"
        " --instruments {params.instruments:q} --val {input.val:q} --out {output:q}"
        " 2>&1 | tee {log:q}"


rule base_card:
    input:
        rules.base_unet.output,
        rules.base_decoder.output,
        learning=rules.base_curve.output,
        instruments=rules.instruments.output.quality,
        val=plan.base_val,
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
        training=subpath(output[0], parent=True),
        instruments=subpath(input.instruments, parent=True),
        model=plan.settings.base.model,
    shell:
        "(python -m dseg stage base-export --settings {input.training:q} --training {params.training:q}"
        " --out {params.model:q} &&"
        " python -m dseg stage base-card --settings {input.settings:q} --training {params.training:q}"
        " --val {input.val:q} --model {params.model:q} --learning {input.learning:q}"
        " --instruments {params.instruments:q}) 2>&1 | tee {log:q}"


rule base:
    input:
        rules.base_card.output,
    localrule: True
