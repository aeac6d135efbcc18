# Attention on the images of the benchmarks, for AttentionCut without a head and for its rivals.
rule recording:
    input:
        images=plan.benchmark_folder,
        latents=plan.recording_latents,
        classes=plan.other_nouns,
        model=plan.model,
        settings=plan.stamps("recording", "{recording}/{benchmark}"),
        code=plan.code("recording"),
    output:
        plan.artifact(
            "attention/{benchmark}/{recording}/{shard}-of-{total}.safetensors"
        ),
    log:
        plan.log("recording/{recording}/{benchmark}/{shard}-of-{total}"),
    conda:
        "../../environment.yml"
    resources:
        gpu=plan.gpus,
    shell:
        "python -m dseg stage recording --settings {input.settings:q} --root {input.images:q}"
        " --benchmark {wildcards.benchmark:q} --shard {wildcards.shard:q}"
        " --latents {input.latents:q} --out {output:q} 2>&1 | tee {log:q}"
