# Attention and image to a mask, by a minimum cut: of synthetic images, to train heads on, and of
# the benchmarks' images, as a method of its own.
rule attentioncut:
    input:
        attention=rules.synthesis.output,
        settings=plan.stamp("attentioncut"),
        code=plan.code("attentioncut"),
    output:
        plan.artifact("masks/{shard}-of-{total}.safetensors"),
    log:
        plan.log("attentioncut/{shard}-of-{total}"),
    conda:
        "../../environment.yml"
    shell:
        "python -m dseg stage attentioncut --settings {input.settings:q}"
        " --attention-shard {input.attention:q} --out {output:q} 2>&1 | tee {log:q}"


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
        "python -m dseg stage index --shards {input.shards:q} 2>&1 | tee {log:q}"


rule recording_masks:
    input:
        attention=rules.recording.output,
        settings=plan.stamp("attentioncut"),
        code=plan.code("attentioncut"),
    output:
        plan.artifact(
            "recording_masks/{recording}/{benchmark}/{shard}-of-{total}.safetensors"
        ),
    log:
        plan.log("attentioncut/{recording}/{benchmark}/{shard}-of-{total}"),
    conda:
        "../../environment.yml"
    shell:
        "python -m dseg stage attentioncut --settings {input.settings:q}"
        " --attention-shard {input.attention:q} --out {output:q} 2>&1 | tee {log:q}"


rule recording_masks_index:
    input:
        shards=plan.recording_shards("recording_masks"),
        code=plan.code("index"),
    output:
        plan.indices(plan.recording_shards("recording_masks")),
    log:
        plan.log("attentioncut/recording_masks_index"),
    conda:
        "../../environment.yml"
    shell:
        "python -m dseg stage index --shards {input.shards:q} 2>&1 | tee {log:q}"


use rule attentioncut as syntheses_masks with:
    input:
        attention=rules.syntheses.output,
        settings=plan.stamp("attentioncut"),
        code=plan.code("attentioncut"),
    output:
        plan.artifact("syntheses_masks/{synthesis}/{shard}-of-{total}.safetensors"),
    log:
        plan.log("syntheses_masks/{synthesis}/{shard}-of-{total}"),
