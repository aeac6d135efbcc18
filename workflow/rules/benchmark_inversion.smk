# Images of the benchmarks to their latents on the DDIM trajectory, to predict masks from.
rule benchmark_inversion:
    input:
        images=plan.benchmark_folder,
        model=plan.model(),
        settings=plan.stamps("benchmark_inversion", "{inversion}/{benchmark}"),
        code=plan.code("benchmark_inversion"),
    output:
        plan.artifact(
            "benchmark_inversion/{inversion}/{benchmark}/{shard}-of-{total}.safetensors"
        ),
    log:
        plan.log("benchmark_inversion/{inversion}/{benchmark}/{shard}-of-{total}"),
    conda:
        "../../environment.yml"
    resources:
        gpu=plan.gpus,
    shell:
        "python -m dseg benchmark-inversion --settings {input.settings} --root {input.images}"
        " --benchmark {wildcards.benchmark} --shard {wildcards.shard} --out {output}"
        " 2>&1 | tee {log}"


rule benchmark_inversion_index:
    input:
        shards=plan.inversion_shards(),
        code=plan.code("index"),
    output:
        plan.indices(plan.inversion_shards()),
    log:
        plan.log("benchmark_inversion/index"),
    conda:
        "../../environment.yml"
    shell:
        "python -m dseg index --shards {input.shards} 2>&1 | tee {log}"
