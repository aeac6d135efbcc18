# Folders of artifacts that can be asked for by name: `snakemake latents-test-main`. DVC makes a
# stage of each.
for name, shards in plan.targets().items():

    rule:
        name:
            name
        input:
            shards,
        localrule: True
