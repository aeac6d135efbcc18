# The embedded world's evaluation splits, laid out like the public benchmarks.
rule world_split:
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


rule world:
    input:
        expand(rules.world_split.output, split=plan.splits),
    localrule: True
