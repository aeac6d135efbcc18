# Masks of the synthetic images by other methods than AttentionCut, to train heads on.
rule mask_sets:
    input:
        synthesis=plan.artifact("images/{synthesis}/{shard}-of-{total}.safetensors"),
        settings=plan.stamps("mask_sets", "{mask_method}"),
        code=plan.code("mask_sets"),
    output:
        plan.artifact("masks/{synthesis}/{mask_method}/{shard}-of-{total}.safetensors"),
    log:
        plan.log("mask_sets/{synthesis}/{mask_method}/{shard}-of-{total}"),
    conda:
        "../../environment.yml"
    shell:
        "python -m dseg stage mask-sets --settings {input.settings:q} --method {wildcards.mask_method:q}"
        " --synthesis {input.synthesis:q} --out {output:q} 2>&1 | tee {log:q}"
