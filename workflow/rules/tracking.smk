# Results to MLflow. Not among the results that `all` asks for, and unknown to DVC: the store is
# this machine's own, and results that came from elsewhere are logged here without computing.
rule tracking:
    input:
        rules.tables.output,
        rules.figures.output,
        summary=rules.summary.output,
        claims=rules.claims.output.page,
        records=rules.claims.output.records,
        masks=plan.main_masks(),
        truths=plan.benchmark_folders,
        model=plan.model,
        settings=plan.stamp("tracking"),
        code=plan.code("tracking"),
    output:
        plan.artifact("tracking.json"),
    log:
        plan.log("tracking"),
    conda:
        "../../environment.yml"
    params:
        artifacts=plan.folder,
        results=plan.results,
    shell:
        "python -m dseg stage tracking --settings {input.settings:q}"
        " --artifacts {params.artifacts:q} --summary {input.summary:q} --masks {input.masks:q}"
        " --results {params.results:q} --claims {input.claims:q} --out {output:q}"
        " 2>&1 | tee {log:q}"
