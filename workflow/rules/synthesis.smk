# Prompts to images with the attention of their nouns: a job for each shard.
rule synthesis:
    input:
        prompts=rules.prompts.output,
        model=plan.model,
        settings=plan.stamp("synthesis"),
        code=plan.code("synthesis"),
    output:
        plan.artifact("synthesis/{shard}-of-{total}.safetensors"),
    log:
        plan.log("synthesis/{shard}-of-{total}"),
    conda:
        "../../environment.yml"
    resources:
        gpu=plan.gpus,
    shell:
        "python -m dseg stage synthesis --settings {input.settings:q} --prompts {input.prompts:q}"
        " --shard {wildcards.shard:q} --out {output:q} 2>&1 | tee {log:q}"


rule synthesis_index:
    input:
        shards=plan.synthetic_shards("synthesis"),
        code=plan.code("index"),
    output:
        plan.indices(plan.synthetic_shards("synthesis")),
    log:
        plan.log("synthesis/index"),
    conda:
        "../../environment.yml"
    shell:
        "python -m dseg stage index --shards {input.shards:q} 2>&1 | tee {log:q}"


# Further sets of images to train heads on, by other settings.
use rule synthesis as syntheses with:
    input:
        prompts=rules.prompts.output,
        model=plan.model,
        settings=plan.stamps("synthesis", "{synthesis}"),
        code=plan.code("synthesis"),
    output:
        plan.artifact("syntheses/{synthesis}/{shard}-of-{total}.safetensors"),
    log:
        plan.log("syntheses/{synthesis}/{shard}-of-{total}"),
