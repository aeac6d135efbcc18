# Ways to make a mask, judged on synthetic images by the oracle segmenter, where a run asks for it.
if plan.synthetic_masks():

    rule synthetic_masks:
        input:
            synthesis=plan.scored_shards("synthesis"),
            oracle=plan.scored_shards("mask_sets/oracle"),
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
        shell:
            "python -m dseg synthetic-masks --settings {input.settings} --synthesis {input.synthesis}"
            " --oracle {input.oracle} --instruments $(dirname {input.quality})"
            " --prompts {input.prompts} --out {output} 2>&1 | tee {log}"
