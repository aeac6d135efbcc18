# Further sets of images to train heads on, by other settings of the synthesis: what the rules of
# synthesis, AttentionCut and inversion do, in folders of their own.
use rule synthesis as syntheses with:
    input:
        prompts=rules.prompts.output,
        model=plan.model(),
        settings=plan.stamps("synthesis", "{synthesis}"),
        code=plan.code("synthesis"),
    output:
        plan.artifact("syntheses/{synthesis}/{shard}-of-{total}.safetensors"),
    log:
        plan.log("syntheses/{synthesis}/{shard}-of-{total}"),


use rule attentioncut as syntheses_masks with:
    input:
        attention=rules.syntheses.output,
        settings=plan.stamp("attentioncut"),
        code=plan.code("attentioncut"),
    output:
        plan.artifact("syntheses_masks/{synthesis}/{shard}-of-{total}.safetensors"),
    log:
        plan.log("syntheses_masks/{synthesis}/{shard}-of-{total}"),


use rule inversion as syntheses_inversion with:
    input:
        synthesis=plan.inverted_images,
        prompts=rules.prompts.output,
        model=plan.model(),
        settings=plan.stamps("inversion", "{inversion}"),
        code=plan.code("inversion"),
    output:
        plan.artifact(
            "syntheses_inversion/{synthesis}/{inversion}/{shard}-of-{total}.safetensors"
        ),
    log:
        plan.log("syntheses_inversion/{synthesis}/{inversion}/{shard}-of-{total}"),


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
