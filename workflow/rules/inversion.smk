# Synthetic images to their latents on the DDIM trajectory, to train heads on.
rule inversion:
    input:
        synthesis=rules.synthesis.output,
        model=plan.model(),
        settings=plan.stamp("inversion"),
        code=plan.code("inversion"),
    output:
        plan.artifact("inversion/{shard}-of-{total}.safetensors"),
    log:
        plan.log("inversion/{shard}-of-{total}"),
    conda:
        "../../environment.yml"
    resources:
        gpu=plan.gpus,
    shell:
        "python -m dseg inversion --settings {input.settings} --synthesis {input.synthesis}"
        " --out {output} 2>&1 | tee {log}"


rule inversion_index:
    input:
        shards=plan.synthetic_shards("inversion"),
        code=plan.code("index"),
    output:
        plan.indices(plan.synthetic_shards("inversion")),
    log:
        plan.log("inversion/index"),
    conda:
        "../../environment.yml"
    shell:
        "python -m dseg index --shards {input.shards} 2>&1 | tee {log}"
