# Scores to verdicts on the claims of the paper's abstract.
rule claims:
    input:
        evaluation=rules.evaluation.output.scores,
        mask_methods=rules.mask_methods.output,
        masks=plan.synthetic_shards("masks"),
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
        "python -m dseg claims --settings {input.settings}"
        " --evaluation $(dirname {input.evaluation}) --mask-methods {input.mask_methods}"
        " --masks {input.masks} --page {output.page} --out {output.records}"
        " --tables {params.tables} 2>&1 | tee {log}"
