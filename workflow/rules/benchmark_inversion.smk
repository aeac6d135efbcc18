# Images of the benchmarks to their latents on the DDIM trajectory, to predict masks from.
rule benchmark_inversion:
    input:
        images=plan.benchmark_folder,
        model=plan.model,
        settings=plan.stamps("benchmark_inversion", "{inversion}/{benchmark}"),
        code=plan.code("benchmark_inversion"),
    output:
        plan.artifact("latents/{benchmark}/{inversion}/{shard}-of-{total}.safetensors"),
    log:
        plan.log("benchmark_inversion/{inversion}/{benchmark}/{shard}-of-{total}"),
    conda:
        "../../environment.yml"
    resources:
        gpu=plan.gpus,
    shell:
        "python -m dseg stage benchmark-inversion --settings {input.settings:q} --root {input.images:q}"
        " --benchmark {wildcards.benchmark:q} --shard {wildcards.shard:q} --out {output:q}"
        " 2>&1 | tee {log:q}"
