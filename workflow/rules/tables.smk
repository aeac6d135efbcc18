# Scores to the result tables, in four forms each, and metrics.json for `dvc metrics`.
rule tables:
    input:
        evaluation=rules.evaluation.output.scores,
        mask_methods=rules.mask_methods.output,
        masks=plan.synthetic_shards("masks"),
        round_trips=plan.round_trips(),
        synthetic_masks=plan.synthetic_masks(),
        quality=plan.quality(),
        settings=plan.stamp("tables"),
        code=plan.code("tables"),
    output:
        report(
            plan.tables("html"),
            caption="../report/tables.rst",
            category="Tables",
        ),
        plan.tables("csv", "md", "tex"),
        metrics=plan.result("metrics.json"),
    log:
        plan.log("tables"),
    conda:
        "../../environment.yml"
    params:
        out=plan.results,
    shell:
        "python -m dseg tables --settings {input.settings}"
        " --evaluation $(dirname {input.evaluation}) --mask-methods {input.mask_methods}"
        " --masks {input.masks} --round-trips {input.round_trips}"
        " --synthetic-masks {input.synthetic_masks} --quality {input.quality} --out {params.out} 2>&1 | tee {log}"
