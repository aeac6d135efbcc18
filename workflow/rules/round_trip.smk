# Images of a benchmark inverted and sampled back, by every way to invert.
rule round_trip:
    input:
        images=plan.benchmark_folder,
        model=plan.model,
        settings=plan.stamps("round_trip", "{benchmark}"),
        code=plan.code("round_trip"),
    output:
        plan.artifact("round_trip/{benchmark}.parquet"),
    log:
        plan.log("round_trip/{benchmark}"),
    conda:
        "../../environment.yml"
    shell:
        "python -m dseg stage round-trip --settings {input.settings:q} --root {input.images:q}"
        " --benchmark {wildcards.benchmark:q} --out {output:q} 2>&1 | tee {log:q}"
