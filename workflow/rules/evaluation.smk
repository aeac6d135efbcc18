# Masks of all methods to scores, per image and in all.
rule evaluation:
    input:
        predictions=plan.evaluated_shards(),
        truths=plan.benchmark_folders,
        settings=plan.stamp("evaluation"),
        code=plan.code("evaluation"),
    output:
        images=plan.artifact("evaluation/images.parquet"),
        scores=plan.artifact("evaluation/scores.parquet"),
        curves=plan.artifact("evaluation/curves.parquet"),
    log:
        plan.log("evaluation"),
    conda:
        "../../environment.yml"
    params:
        out=subpath(output.scores, parent=True),
        artifacts=plan.folder,
    shell:
        "python -m dseg stage evaluation --settings {input.settings:q} --artifacts {params.artifacts:q}"
        " --predictions {input.predictions:q} --out {params.out:q} 2>&1 | tee {log:q}"
