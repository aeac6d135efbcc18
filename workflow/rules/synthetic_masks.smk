# Ways to make a mask, judged on synthetic images by the oracle segmenter, where a run asks for it.
if plan.synthetic_masks():

    rule synthetic_masks:
        input:
            synthesis=plan.judged(f"images/{plan.main}"),
            oracle=plan.judged(f"masks/{plan.main}/oracle"),
            quality=rules.instruments.output.quality,
            prompts=rules.prompts.output,
            settings=plan.stamp("synthetic_masks"),
            code=plan.code("synthetic_masks"),
        output:
            plan.artifact("synthetic_masks/images.parquet"),
        log:
            plan.log("synthetic_masks"),
        conda:
            "../../environment.yml"
        params:
            instruments=subpath(input.quality, parent=True),
        shell:
            "python -m dseg stage synthetic-masks --settings {input.settings:q} --synthesis {input.synthesis:q}"
            " --oracle {input.oracle:q} --instruments {params.instruments:q}"
            " --prompts {input.prompts:q} --out {output:q} 2>&1 | tee {log:q}"
