# Rendered images instead of synthesised ones, with their true masks: the upper bound of all masks
# that a head may learn.
rule renders:
    input:
        prompts=rules.prompts.output,
        settings=plan.stamps("renders", "{synthesis}").format(synthesis="renders"),
        code=plan.code("renders"),
    output:
        images=plan.artifact("images/renders/{shard}-of-{total}.safetensors"),
        masks=plan.artifact("masks/renders/true/{shard}-of-{total}.safetensors"),
    log:
        plan.log("renders/{shard}-of-{total}"),
    conda:
        "../../environment.yml"
    shell:
        "python -m dseg stage renders --settings {input.settings:q} --prompts {input.prompts:q}"
        " --shard {wildcards.shard:q} --images {output.images:q} --masks {output.masks:q}"
        " 2>&1 | tee {log:q}"
