# Rendered images instead of synthesised ones, with their true masks: the upper bound of all masks
# that a head may learn.
rule renders:
    input:
        prompts=rules.prompts.output,
        settings=plan.stamps("renders", "{synthesis}").format(synthesis="renders"),
        code=plan.code("renders"),
    output:
        images=plan.artifact("renders/images/{shard}-of-{total}.safetensors"),
        masks=plan.artifact("renders/masks/{shard}-of-{total}.safetensors"),
    log:
        plan.log("renders/{shard}-of-{total}"),
    conda:
        "../../environment.yml"
    shell:
        "python -m dseg stage renders --settings {input.settings:q} --prompts {input.prompts:q}"
        " --shard {wildcards.shard:q} --images {output.images:q} --masks {output.masks:q}"
        " 2>&1 | tee {log:q}"


# Without a head that learns from them there are none, and a rule without files is no rule.
if plan.complete(plan.further_shards()):

    rule further_index:
        input:
            shards=plan.complete(plan.further_shards()),
            code=plan.code("index"),
        output:
            plan.indices(plan.further_shards()),
        log:
            plan.log("syntheses/index"),
        conda:
            "../../environment.yml"
        shell:
            "python -m dseg stage index --shards {input.shards:q} 2>&1 | tee {log:q}"
