# Instruments that judge an embedded base model's images; no part of the method reads them.
rule instruments:
    input:
        val=plan.base_val,
        settings=plan.stamp("instruments"),
        code=plan.code("instruments"),
    output:
        **plan.instruments,
    log:
        plan.log("instruments"),
    conda:
        "../../environment.yml"
    params:
        out=subpath(output.quality, parent=True),
    shell:
        "python -m dseg stage instruments --settings {input.settings:q} --val {input.val:q}"
        " --out {params.out:q} 2>&1 | tee {log:q}"
