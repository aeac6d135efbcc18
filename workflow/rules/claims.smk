# The summary to verdicts on the claims of the paper's abstract.
rule claims:
    input:
        summary=rules.summary.output,
        settings=plan.stamp("claims"),
        code=plan.code("claims"),
    output:
        page=plan.claims_page(),
        records=plan.result("contrasts.json"),
    log:
        plan.log("claims"),
    conda:
        "../../environment.yml"
    params:
        tables=plan.tables_from_claims,
    shell:
        "python -m dseg stage claims --settings {input.settings:q} --summary {input.summary:q}"
        " --page {output.page:q} --out {output.records:q} --tables {params.tables:q}"
        " 2>&1 | tee {log:q}"
