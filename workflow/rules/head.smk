# A segmentation head for each variant, trained on synthetic images and their masks alone. One job
# trains it as often as `head.seeds` says.
rule head:
    input:
        synthesis=plan.head_images,
        masks=plan.head_masks,
        prompts=rules.prompts.output,
        latents=plan.head_latents,
        model=plan.head_model,
        settings=plan.stamps("head", "{variant}"),
        code=plan.code("head"),
    output:
        head=plan.artifact("head/{variant}/head.safetensors"),
        curve=plan.artifact("head/{variant}/curve.csv"),
    log:
        plan.log("head/{variant}"),
    conda:
        "../../environment.yml"
    resources:
        gpu=plan.gpus,
    params:
        out=subpath(output.head, parent=True),
    shell:
        "python -m dseg stage head --settings {input.settings:q} --synthesis {input.synthesis:q}"
        " --masks {input.masks:q} --prompts {input.prompts:q} --latents {input.latents:q} --out {params.out:q}"
        " 2>&1 | tee {log:q}"
