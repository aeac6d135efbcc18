# Other ways to make a mask of the attention that AttentionCut starts from.
rule mask_methods:
    input:
        attention=plan.mask_method_shards(),
        truths=plan.benchmark_folders,
        settings=plan.stamp("mask_methods"),
        code=plan.code("mask_methods"),
    output:
        plan.artifact("mask_methods/images.parquet"),
    log:
        plan.log("mask_methods"),
    conda:
        "../../environment.yml"
    params:
        artifacts=plan.folder,
    shell:
        "python -m dseg stage mask-methods --settings {input.settings:q} --artifacts {params.artifacts:q}"
        " --attention {input.attention:q} --out {output:q} 2>&1 | tee {log:q}"
