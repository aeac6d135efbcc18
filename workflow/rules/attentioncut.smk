# Attention and image to a mask, by a minimum cut.
rule attentioncut:
    input:
        attention=plan.artifact("synthesis/{shard}-of-{total}.safetensors"),
        settings=plan.stamp("attentioncut"),
        code=plan.code("attentioncut"),
    output:
        plan.artifact("masks/{shard}-of-{total}.safetensors"),
    log:
        plan.log("attentioncut/{shard}-of-{total}"),
    conda:
        "../../environment.yml"
    shell:
        "python -m dseg attentioncut --settings {input.settings}"
        " --attention-shard {input.attention} --out {output} 2>&1 | tee {log}"


rule masks_index:
    input:
        shards=plan.synthetic_shards("masks"),
        code=plan.code("index"),
    output:
        plan.indices(plan.synthetic_shards("masks")),
    log:
        plan.log("attentioncut/index"),
    conda:
        "../../environment.yml"
    shell:
        "python -m dseg index --shards {input.shards} 2>&1 | tee {log}"
