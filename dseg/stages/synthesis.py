"""Stage `synthesis`: prompts -> shards of images with their attention."""

from pathlib import Path

from dseg.artifacts.prompts import read_prompts
from dseg.artifacts.recordings import attention_fields
from dseg.artifacts.shards import shard_range, write_shard
from dseg.base_model.loading import base_model
from dseg.method.attention import AttentionPlan
from dseg.method.synthesis import Synthesis, synthesise
from dseg.progress import track
from dseg.settings.run import Settings
from dseg.settings.sections import sections, settings_hash

SECTIONS = ("model", "synthesis", "attention")


def run(settings: Settings, prompts: Path, shard: int, out: Path) -> None:
    """Synthesise the images of one shard.

    Args:
        settings: The sections named in `SECTIONS`.
        prompts: prompts.parquet.
        shard: Index of the shard.
        out: The shard's file. Fields: image, cross_<stride>, affinity_indices, affinity_weights.

    Raises:
        DsegError: There is no such shard, or as `base_model` and `synthesise`.
    """
    synthesis, attention = settings.synthesis, settings.attention
    table = read_prompts(prompts).iloc[: synthesis.limit]
    items = shard_range(len(table), synthesis.items_per_shard, shard)
    table = table.iloc[items.start : items.stop]
    plan = AttentionPlan(
        attention.cross_strides,
        attention.affinity_stride,
        attention.neighbours,
        share=attention.measure == "share",
    )
    # Under guidance, the U-Net sees each latent twice.
    rows = synthesis.batch_size * (2 if synthesis.guidance > 1 else 1)
    results: list[Synthesis] = []
    with base_model(
        settings.model, "synthesis.batch_size", synthesis.batch_size, rows=rows
    ) as pipe:
        starts = range(0, len(table), synthesis.batch_size)
        for start in track(starts, f"synthesis, shard {shard}"):
            batch = table.iloc[start : start + synthesis.batch_size]
            result = synthesise(
                pipe,
                batch["text"].tolist(),
                list(zip(batch["token_start"], batch["token_end"], strict=True)),
                batch["seed"].tolist(),
                steps=synthesis.steps,
                guidance=synthesis.guidance,
                record=attention.timesteps,
                plan=plan,
                contexts=list(zip(batch["context_start"], batch["context_end"], strict=True)),
            )
            results.append(result)
    write_shard(
        out,
        attention_fields(
            [result.images for result in results], [result.attention for result in results]
        ),
        ids=table["id"].tolist(),
        kind="images",
        stage="synthesis",
        settings_hash=settings_hash(sections(settings, *SECTIONS)),
    )
