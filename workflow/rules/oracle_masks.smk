# Masks of the synthetic images by a segmenter trained on true masks: an instrument, by which mask
# methods are judged and what heads learn at best is measured.
rule oracle_masks:
    input:
        synthesis=plan.artifact("images/{synthesis}/{shard}-of-{total}.safetensors"),
        segmenter=plan.artifact("instruments/segmenter.safetensors"),
        settings=plan.stamp("oracle_masks"),
        code=plan.code("oracle_masks"),
    output:
        plan.artifact("masks/{synthesis}/oracle/{shard}-of-{total}.safetensors"),
    log:
        plan.log("oracle_masks/{synthesis}/{shard}-of-{total}"),
    conda:
        "../../environment.yml"
    shell:
        "python -m dseg stage oracle-masks --settings {input.settings:q} --synthesis {input.synthesis:q}"
        " --segmenter {input.segmenter:q} --out {output:q} 2>&1 | tee {log:q}"
