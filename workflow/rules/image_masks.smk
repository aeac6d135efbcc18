# Masks of the images of a benchmark by a method that sees the image alone.
rule image_masks:
    input:
        images=plan.benchmark_folder,
        settings=plan.stamps("image_masks", "{image_method}/{benchmark}"),
        code=plan.code("image_masks"),
    output:
        plan.artifact("masks/{benchmark}/{image_method}/{shard}-of-{total}.safetensors"),
    log:
        plan.log("image_masks/{image_method}/{benchmark}/{shard}-of-{total}"),
    conda:
        "../../environment.yml"
    shell:
        "python -m dseg stage image-masks --settings {input.settings:q} --root {input.images:q}"
        " --benchmark {wildcards.benchmark:q} --shard {wildcards.shard:q}"
        " --name {wildcards.image_method:q} --out {output:q} 2>&1 | tee {log:q}"
