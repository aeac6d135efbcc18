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
        "python -m dseg renders --settings {input.settings} --prompts {input.prompts}"
        " --shard {wildcards.shard} --images {output.images} --masks {output.masks}"
        " 2>&1 | tee {log}"


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
            "python -m dseg index --shards {input.shards} 2>&1 | tee {log}"
