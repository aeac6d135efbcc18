# Instruments that judge the embedded world's images; no part of the method reads them.
rule instruments:
    input:
        val=plan.artifact("world/val"),
        settings=plan.stamp("instruments"),
        code=plan.code("instruments"),
    output:
        classifier=plan.artifact("instruments/classifier.safetensors"),
        segmenter=plan.artifact("instruments/segmenter.safetensors"),
        quality=plan.artifact("instruments/quality.json"),
    log:
        plan.log("instruments"),
    conda:
        "../../environment.yml"
    params:
        out=subpath(output.quality, parent=True),
    shell:
        "python -m dseg stage instruments --settings {input.settings:q} --val {input.val:q}"
        " --out {params.out:q} 2>&1 | tee {log:q}"
