# Scores, images and masks to figures.
rule figures:
    input:
        evaluation=rules.evaluation.output.scores,
        mask_methods=rules.mask_methods.output,
        prompts=rules.prompts.output,
        synthesis=plan.synthetic_shards("synthesis"),
        masks=plan.synthetic_shards("masks"),
        predictions=plan.evaluated_shards(),
        truths=plan.benchmark_folders(),
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
        out=plan.results,
    shell:
        "python -m dseg figures --settings {input.settings} --artifacts {params.artifacts}"
        " --evaluation $(dirname {input.evaluation}) --mask-methods {input.mask_methods}"
        " --prompts {input.prompts} --synthesis {input.synthesis} --masks {input.masks}"
        " --predictions {input.predictions} --out {params.out} 2>&1 | tee {log}"
