# A trained head and the images of a benchmark to predicted masks.
rule prediction:
    input:
        head=rules.head.output.head,
        images=plan.benchmark_folder,
        latents=plan.prediction_latents,
        model=plan.head_model,
        settings=plan.stamps("prediction", "{variant}/{benchmark}"),
        code=plan.code("prediction"),
    output:
        plan.artifact("masks/{benchmark}/{variant}/{shard}-of-{total}.safetensors"),
    log:
        plan.log("prediction/{variant}/{benchmark}/{shard}-of-{total}"),
    conda:
        "../../environment.yml"
    resources:
        gpu=plan.gpus,
    shell:
        "python -m dseg stage prediction --settings {input.settings:q} --root {input.images:q}"
        " --benchmark {wildcards.benchmark:q} --shard {wildcards.shard:q} --head {input.head:q}"
        " --latents {input.latents:q} --out {output:q} 2>&1 | tee {log:q}"
