# The summary, images and masks to figures.
rule figures:
    input:
        summary=rules.summary.output,
        evaluation=rules.evaluation.output.scores,
        prompts=rules.prompts.output,
        synthesis=plan.main_images(),
        masks=plan.main_masks(),
        predictions=plan.evaluated_shards(),
        truths=plan.benchmark_folders,
        settings=plan.stamp("figures"),
        code=plan.code("figures"),
    output:
        png=report(
            plan.figures("png"),
            caption="../report/figures.rst",
            category="Figures",
        ),
        svg=plan.figures("svg"),
    log:
        plan.log("figures"),
    conda:
        "../../environment.yml"
    params:
        artifacts=plan.folder,
        evaluation=subpath(input.evaluation, parent=True),
        out=plan.results,
    shell:
        "python -m dseg stage figures --settings {input.settings:q}"
        " --artifacts {params.artifacts:q} --summary {input.summary:q}"
        " --evaluation {params.evaluation:q} --prompts {input.prompts:q}"
        " --synthesis {input.synthesis:q} --masks {input.masks:q}"
        " --predictions {input.predictions:q} --out {params.out:q} 2>&1 | tee {log:q}"
