# Attention on the images of the benchmarks, and AttentionCut of it: the method without a head.
rule recording:
    input:
        images=plan.benchmark_folder,
        latents=plan.recording_latents,
        model=plan.model,
        settings=plan.stamps("recording", "{recording}/{benchmark}"),
        code=plan.code("recording"),
    output:
        plan.artifact(
            "recording/{recording}/{benchmark}/{shard}-of-{total}.safetensors"
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


rule recording_index:
    input:
        shards=plan.attention_shards(),
        code=plan.code("index"),
    output:
        plan.indices(plan.attention_shards()),
    log:
        plan.log("recording/index"),
    conda:
        "../../environment.yml"
    shell:
        "python -m dseg stage index --shards {input.shards:q} 2>&1 | tee {log:q}"
