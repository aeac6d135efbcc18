# The summary to the result tables, in four forms each, and metrics.json for `dvc metrics`.
rule tables:
    input:
        summary=rules.summary.output,
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
        "python -m dseg stage tables --settings {input.settings:q} --summary {input.summary:q}"
        " --out {params.out:q} 2>&1 | tee {log:q}"
