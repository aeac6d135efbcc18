# Attention and image to a mask, by a minimum cut: of synthetic images, to train heads on, and of
# the benchmarks' images, as a method of its own.
rule attentioncut:
    input:
        attention=plan.attention,
        settings=plan.stamp("attentioncut"),
        code=plan.code("attentioncut"),
    output:
        plan.artifact("masks/{cut}/{shard}-of-{total}.safetensors"),
    log:
        plan.log("attentioncut/{cut}/{shard}-of-{total}"),
    wildcard_constraints:
        cut=plan.one_of(plan.cut),
    conda:
        "../../environment.yml"
    shell:
        "python -m dseg stage attentioncut --settings {input.settings:q}"
        " --attention-shard {input.attention:q} --out {output:q} 2>&1 | tee {log:q}"
