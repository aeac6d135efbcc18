# Masks of the synthetic images by other methods than AttentionCut, to train heads on.
rule mask_sets:
    input:
        synthesis=rules.synthesis.output,
        settings=plan.stamps("mask_sets", "{mask_method}"),
        code=plan.code("mask_sets"),
    output:
        plan.artifact("mask_sets/{mask_method}/{shard}-of-{total}.safetensors"),
    log:
        plan.log("mask_sets/{mask_method}/{shard}-of-{total}"),
    conda:
        "../../environment.yml"
    shell:
        "python -m dseg stage mask-sets --settings {input.settings:q} --method {wildcards.mask_method:q}"
        " --synthesis {input.synthesis:q} --out {output:q} 2>&1 | tee {log:q}"


# Without a head that learns them there are none, and a rule without files is no rule.
if plan.complete(plan.mask_set_shards()):

    rule mask_sets_index:
        input:
            shards=plan.complete(plan.mask_set_shards()),
            code=plan.code("index"),
        output:
            plan.indices(plan.mask_set_shards()),
        log:
            plan.log("mask_sets/index"),
        conda:
            "../../environment.yml"
        shell:
            "python -m dseg stage index --shards {input.shards:q} 2>&1 | tee {log:q}"
