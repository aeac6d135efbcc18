# Synthetic images to their latents on the DDIM trajectory, to train heads on; a folder for each
# set of images and way to invert.
rule inversion:
    input:
        images=plan.artifact("images/{synthesis}/{shard}-of-{total}.safetensors"),
        prompts=rules.prompts.output,
        model=plan.model,
        settings=plan.stamps("inversion", "{inversion}"),
        code=plan.code("inversion"),
    output:
        plan.artifact("latents/{synthesis}/{inversion}/{shard}-of-{total}.safetensors"),
    log:
        plan.log("inversion/{synthesis}/{inversion}/{shard}-of-{total}"),
    conda:
        "../../environment.yml"
    resources:
        gpu=plan.gpus,
    shell:
        "python -m dseg stage inversion --settings {input.settings:q} --images {input.images:q}"
        " --prompts {input.prompts:q} --out {output:q} 2>&1 | tee {log:q}"
