"""A run up to its predictions, made up on renders: what scores, tables and figures start from."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from attention_scene import self_attention
from scipy.ndimage import gaussian_filter

from dseg.artifacts.shards import Kind, shard_count, shard_name, shard_range, write_shard
from dseg.method.resample import resize
from dseg.orchestration.provenance import declared_sections, write_stamp
from dseg.reporting import comparison
from dseg.reporting.summary import FILE
from dseg.settings.reading import load_sections, load_settings
from dseg.settings.run import Settings
from dseg.settings.sections import sections
from dseg.stages import (
    attentioncut,
    claims,
    evaluation,
    figures,
    mask_methods,
    summary,
    tables,
    world,
)
from dseg.world.renderer import annotated_scenes
from dseg.world.splits import draw_split

ROOT = Path(__file__).resolve().parents[2]
PER_SHARD = 5
IMAGES, MASKS = "images/main", "masks/main/attentioncut"
# How well a method does here, between 0, noise, and 1, the truth; others .8.
QUALITY = {
    "attentioncut-noise": 0.72,
    "attentioncut-inversion": 0.7,
    "attentioncut-object": 0.5,
    "inversion": 0.9,
    "noise": 0.86,
    "clean": 0.8,
    "rgb": 0.75,
}


@dataclass(frozen=True)
class FinishedRun:
    """Where everything lies."""

    artifacts: Path
    results: Path
    settings: Settings

    @property
    def summary(self) -> Path:
        return self.artifacts / FILE

    def given(self, stage: str) -> Settings:
        """The settings as the workflow hands them to a stage: declared sections only."""
        path = self.artifacts / "settings" / f"{stage}.json"
        write_stamp(path, sections(self.settings, *declared_sections(f"dseg.stages.{stage}", ROOT)))
        return load_sections(path)

    @property
    def images(self) -> list[Path]:
        return self.shards(IMAGES)

    @property
    def masks(self) -> list[Path]:
        return self.shards(MASKS)

    @property
    def predictions(self) -> list[Path]:
        return self.shards(*(f"masks/{name}" for name in self.settings.benchmarks))

    def shards(self, *folders: str) -> list[Path]:
        return [
            path
            for folder in folders
            for path in sorted((self.artifacts / folder).rglob("*.safetensors"))
        ]


def settings_of(folder: Path, images: dict[str, int], prompts: int, **changes) -> Settings:
    """The default settings with other numbers of images."""
    layouts = {name: "voc" if name == "multi" else "saliency" for name in images}
    override = {
        "world": {"images": images},
        "benchmarks": {
            name: {"layout": layouts[name], "root": f"world/{name}", "images": count}
            for name, count in images.items()
        },
        "prompts": {"count": prompts},
        "variants": {
            "inversion": {},
            "noise": {"features": {"source": "noise"}},
            "clean": {"features": {"source": "clean", "timesteps": [0.0]}},
            "noise-late": {"features": {"source": "noise", "timesteps": [0.3]}},
            "rgb": {"head": {"input": "rgb"}},
            "pairs-24": {"head": {"pairs": 24}},
            "pairs-12": {"head": {"pairs": 12}},
        },
        **changes,
    }
    path = folder / "params.yaml"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(override))
    return load_settings(ROOT / "params.yaml", [path])


def make_run(folder: Path, settings: Settings) -> FinishedRun:
    """Make the artifacts that evaluation, mask_methods, tables and figures start from."""
    run = FinishedRun(folder / "artifacts", folder / "results", settings)
    size, strength = settings.world.size, settings.world.shift_strength
    for name, benchmark in settings.benchmarks.items():
        world.run(settings, name, run.artifacts / "world" / name)
        count = benchmark.images
        scenes = draw_split(name, settings.seed, count, size=size, shift_strength=strength)
        ids = [f"{name}-{index:04d}" for index in range(count)]
        for seed, method in enumerate([*settings.recordings, *settings.variants]):
            quality = QUALITY.get(method, 0.8)
            soft = _blurred(scenes.masks, quality, seed)
            trainings = np.stack([soft, _blurred(scenes.masks, quality, 100 + seed)], axis=1)
            bytes_or_floats = (
                {"soft": soft.astype(np.float16)}
                if method in settings.recordings
                else {"soft": np.round(255 * trainings).astype(np.uint8)}
            )
            _write(run.artifacts / "masks" / name / method, bytes_or_floats, ids, "masks")
        fields = _attention(scenes.images, scenes.masks)
        for recording in comparison.mask_recordings(settings):
            _write(run.artifacts / "attention" / name / recording, fields, ids, "images")
    _synthesise(run)
    return run


def finish(run: FinishedRun) -> None:
    """Run the stages from evaluation to figures."""
    scores = run.artifacts / "evaluation"
    methods = run.artifacts / "mask_methods" / "images.parquet"
    masks, predictions = run.masks, run.predictions
    evaluation.run(run.given("evaluation"), run.artifacts, predictions, scores)
    attention = [
        path
        for recording in comparison.mask_recordings(run.settings)
        for name in comparison.mask_benchmarks(run.settings)
        for path in run.shards(f"attention/{name}/{recording}")
    ]
    mask_methods.run(run.given("mask_methods"), run.artifacts, attention, methods)
    summary.run(run.given("summary"), scores, methods, masks, run.summary)
    tables.run(run.given("tables"), run.summary, run.results)
    page, records = run.results / "claims.md", run.results / "contrasts.json"
    claims.run(run.given("claims"), run.summary, page, records, "tables")
    draw(run)


def draw(run: FinishedRun) -> None:
    """Run the stage figures."""
    figures.run(
        run.given("figures"),
        artifacts=run.artifacts,
        evaluation=run.artifacts / "evaluation",
        summary=run.summary,
        prompts=run.artifacts / "prompts" / "prompts.parquet",
        synthesis=run.images,
        masks=run.masks,
        predictions=run.predictions,
        out=run.results,
    )


def _synthesise(run: FinishedRun) -> None:
    """Renders in the place of synthetic images, and their masks by AttentionCut."""
    prompts = run.settings.prompts
    scenes = annotated_scenes(prompts.count, 9, size=run.settings.world.size)
    ids = [f"{noun}-{index:05d}" for index, noun in enumerate(scenes.kinds)]
    table = pd.DataFrame({"id": ids, "class": scenes.kinds})
    (run.artifacts / "prompts").mkdir(parents=True)
    table.to_parquet(run.artifacts / "prompts" / "prompts.parquet")
    fields = _attention(scenes.images, scenes.masks)
    _write(run.artifacts / IMAGES, fields, ids, "images")
    settings = run.given("attentioncut")
    for path in run.images:
        attentioncut.run(settings, path, run.artifacts / MASKS / path.name)


def _attention(images: np.ndarray, masks: np.ndarray) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    cross, indices, weights = [], [], []
    for image, mask in zip(images, masks, strict=True):
        share = gaussian_filter(resize(mask, (16, 16)), 1.2)
        cross.append(share * rng.uniform(0.5, 1, (16, 16)) + 0.2 * rng.random((16, 16)))
        near, weight = self_attention(resize(image, (16, 16)), 64, rng)
        indices.append(near)
        weights.append(weight)
    crosses = {
        f"cross_{stride}": np.stack([resize(each, (16 // stride, 16 // stride)) for each in cross])
        for stride in (1, 2, 4)
    }
    return {
        "image": images,
        **{name: maps.astype(np.float16) for name, maps in crosses.items()},
        "affinity_indices": np.stack(indices),
        "affinity_weights": np.stack(weights),
    }


def _blurred(masks: np.ndarray, quality: float, seed: int) -> np.ndarray:
    """Soft masks that a method of this quality might give, float (n, H, W) in [0, 1]."""
    rng = np.random.default_rng(seed)
    noise = gaussian_filter(rng.normal(size=masks.shape), (0, 4, 4))
    noise /= noise.std()
    signal = gaussian_filter(masks.astype(np.float64), (0, 1.5, 1.5)) - 0.5
    doubt = (1 - quality) * rng.gamma(2.0, 1.0, (len(masks), 1, 1))  # a few images are lost
    return 1 / (1 + np.exp(-6 * (signal + doubt * noise)))


def _write(folder: Path, fields: dict[str, np.ndarray], ids: list[str], kind: Kind) -> None:
    count = shard_count(len(ids), PER_SHARD)
    for index in range(count):
        rows = shard_range(len(ids), PER_SHARD, index)
        part = {name: array[rows.start : rows.stop] for name, array in fields.items()}
        write_shard(
            folder / shard_name(index, count),
            part,
            ids=ids[rows.start : rows.stop],
            kind=kind,
            stage="made-up",
            settings_hash="made-up",
        )
