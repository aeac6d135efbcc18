# Prompts to images with the attention of their nouns: a job for each shard of each set.
rule synthesis:
    input:
        prompts=rules.prompts.output,
        model=plan.model,
        settings=plan.stamps("synthesis", "{synthesis}"),
        code=plan.code("synthesis"),
    output:
        plan.artifact("images/{synthesis}/{shard}-of-{total}.safetensors"),
    log:
        plan.log("synthesis/{synthesis}/{shard}-of-{total}"),
    wildcard_constraints:
        synthesis=plan.one_of(plan.drawn),
    conda:
        "../../environment.yml"
    resources:
        gpu=plan.gpus,
    shell:
        "python -m dseg stage synthesis --settings {input.settings:q} --prompts {input.prompts:q}"
        " --shard {wildcards.shard:q} --out {output:q} 2>&1 | tee {log:q}"
