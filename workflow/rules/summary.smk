# Scores to one numeric table: every interval and every test of the run, computed once.
rule summary:
    input:
        evaluation=rules.evaluation.output.scores,
        mask_methods=rules.mask_methods.output,
        masks=plan.main_masks(),
        round_trips=plan.round_trips(),
        synthetic_masks=plan.synthetic_masks(),
        quality=plan.quality(),
        settings=plan.stamp("summary"),
        code=plan.code("summary"),
    output:
        plan.artifact("summary/scores.parquet"),
    log:
        plan.log("summary"),
    conda:
        "../../environment.yml"
    params:
        evaluation=subpath(input.evaluation, parent=True),
    shell:
        "python -m dseg stage summary --settings {input.settings:q}"
        " --evaluation {params.evaluation:q} --mask-methods {input.mask_methods:q}"
        " --masks {input.masks:q} --round-trips {input.round_trips:q}"
        " --synthetic-masks {input.synthetic_masks:q} --quality {input.quality:q}"
        " --out {output:q} 2>&1 | tee {log:q}"
