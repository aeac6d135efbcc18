# Class names and templates to prompts; the tokenizer of the base model finds the noun's tokens.
rule prompts:
    input:
        model=plan.model,
        classes=plan.class_file,
        settings=plan.stamp("prompts"),
        code=plan.code("prompts"),
    output:
        plan.artifact("prompts/prompts.parquet"),
    log:
        plan.log("prompts"),
    conda:
        "../../environment.yml"
    shell:
        "python -m dseg stage prompts --settings {input.settings:q} --out {output:q} 2>&1 | tee {log:q}"
