# Synthetic images to their latents on the DDIM trajectory, to train heads on; a folder for each
# way to invert.
rule inversion:
    input:
        synthesis=rules.synthesis.output,
        prompts=rules.prompts.output,
        model=plan.model,
        settings=plan.stamps("inversion", "{inversion}"),
        code=plan.code("inversion"),
    output:
        plan.artifact("inversion/{inversion}/{shard}-of-{total}.safetensors"),
    log:
        plan.log("inversion/{inversion}/{shard}-of-{total}"),
    conda:
        "../../environment.yml"
    resources:
        gpu=plan.gpus,
    shell:
        "python -m dseg stage inversion --settings {input.settings:q} --synthesis {input.synthesis:q}"
        " --prompts {input.prompts:q} --out {output:q} 2>&1 | tee {log:q}"


# Where heads read a part of the shards only, the folder is not whole and has no index.
if plan.complete(plan.synthetic_inversion_shards()):

    rule inversion_index:
        input:
            shards=plan.complete(plan.synthetic_inversion_shards()),
            code=plan.code("index"),
        output:
            plan.indices(plan.synthetic_inversion_shards()),
        log:
            plan.log("inversion/index"),
        conda:
            "../../environment.yml"
        shell:
            "python -m dseg stage index --shards {input.shards:q} 2>&1 | tee {log:q}"


# The same for further sets of images.
use rule inversion as syntheses_inversion with:
    input:
        synthesis=plan.inverted_images,
        prompts=rules.prompts.output,
        model=plan.model,
        settings=plan.stamps("inversion", "{inversion}"),
        code=plan.code("inversion"),
    output:
        plan.artifact(
            "syntheses_inversion/{synthesis}/{inversion}/{shard}-of-{total}.safetensors"
        ),
    log:
        plan.log("syntheses_inversion/{synthesis}/{inversion}/{shard}-of-{total}"),
