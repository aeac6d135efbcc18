# A trained head and the images of a benchmark to predicted masks.
rule prediction:
    input:
        head=rules.head.output.head,
        images=plan.benchmark_folder,
        latents=plan.prediction_latents,
        model=plan.head_model,
        settings=plan.stamps("prediction", "{variant}/{benchmark}"),
        code=plan.code("prediction"),
    output:
        plan.artifact(
            "predictions/{variant}/{benchmark}/{shard}-of-{total}.safetensors"
        ),
    log:
        plan.log("prediction/{variant}/{benchmark}/{shard}-of-{total}"),
    conda:
        "../../environment.yml"
    resources:
        gpu=plan.gpus,
    shell:
        "python -m dseg prediction --settings {input.settings} --root {input.images}"
        " --benchmark {wildcards.benchmark} --shard {wildcards.shard} --head {input.head}"
        " --latents {input.latents} --out {output} 2>&1 | tee {log}"


# Targets of each set of variants, heads and predictions; DVC makes a stage of each.
for name, variants in plan.variant_sets.items():

    rule:
        name:
            f"heads_{name}"
        input:
            expand(rules.head.output, variant=variants),
        localrule: True

    rule:
        name:
            f"predictions_{name}"
        input:
            shards=plan.shards_predicted_by(variants),
            code=plan.code("index"),
        output:
            plan.indices(plan.shards_predicted_by(variants)),
        log:
            plan.log(f"prediction/{name}"),
        conda:
            "../../environment.yml"
        shell:
            "python -m dseg index --shards {input.shards} 2>&1 | tee {log}"
