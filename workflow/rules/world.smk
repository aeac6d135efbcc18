# The embedded world's evaluation splits, laid out like the public benchmarks.
rule world:
    input:
        settings=plan.stamp("world"),
        code=plan.code("world"),
    output:
        directory(plan.artifact("world/{split}")),
    log:
        plan.log("world/{split}"),
    conda:
        "../../environment.yml"
    shell:
        "python -m dseg stage world --settings {input.settings:q} --split {wildcards.split:q}"
        " --out {output:q} 2>&1 | tee {log:q}"


rule world_splits:
    input:
        expand(rules.world.output, split=plan.splits),
    localrule: True
