"""Heads of a tiny pipeline, trained on discs and exported: fixtures for what segments with them.

A test module asks for them with ``pytest_plugins = ("tiny_pipeline", "stage_two",
"exported_head")``.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from dseg.commands.export import export
from dseg.reporting.summary import Estimate, Kind, Summary
from dseg.settings.reading import load_sections, load_settings
from dseg.settings.run import Settings
from dseg.settings.sections import sections
from dseg.stages import head, inversion

ROOT = Path(__file__).resolve().parents[2]
VARIANTS = {
    "inversion": {},
    "noise": {"features": {"source": "noise"}},
    "clean": {"features": {"source": "clean", "timesteps": [0.0]}},
    "rgb": {"head": {"input": "rgb"}},
}


@dataclass(frozen=True)
class FinishedHeads:
    """The heads of a run and what an export reads."""

    settings: Settings
    folder: Path
    scores: dict[str, float]

    def head(self, variant: str) -> Path:
        return self.folder / "head" / variant / "head.safetensors"

    @property
    def summary(self) -> Path:
        return self.folder / "summary.parquet"

    def export(self, variant: str, out: Path) -> Path:
        export(self.settings, variant, self.head(variant), self.summary, out)
        return out

    def given(self, **values: object) -> Settings:
        """Whole settings as a stage reads them from its file, with other values of sections."""
        path = self.folder / "given.json"
        whole = sections(self.settings.model_copy(update=values))
        path.write_text(json.dumps(whole))
        return load_sections(path)


@pytest.fixture(scope="module")
def heads(
    tiny_pipeline: Path,
    synthesis: list[Path],
    masks: list[Path],
    prompts: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> FinishedHeads:
    """A head of each variant."""
    folder = tmp_path_factory.mktemp("heads")
    changes = {
        "model": {"path": str(tiny_pipeline), "device": "cpu"},
        "attention": {"cross_strides": [1, 2]},  # those of the tiny pipeline
        "inversion": {"steps": 10, "fixed_point": 0},
        "head": {"width": 8, "epochs": 25, "batch_size": 4, "learning_rate": 1e-2, "seeds": 2},
        "variants": VARIANTS,
    }
    (folder / "params.yaml").write_text(yaml.safe_dump(changes))
    settings = load_settings(ROOT / "params.yaml", [folder / "params.yaml"])
    scores = {name: 61.25 + index for index, name in enumerate(VARIANTS)}
    finished = FinishedHeads(settings, folder, scores)
    Summary.of(
        Estimate(Kind.METHOD, name, "iou", iou / 100, benchmark="test")
        for name, iou in scores.items()
    ).write(finished.summary)
    latents = [folder / "inversion" / path.name for path in synthesis]
    for path, out in zip(synthesis, latents, strict=True):
        inversion.run(finished.given(), path, prompts, out)
    for name in VARIANTS:
        features, own = settings.variant(name)
        given = finished.given(features=features, head=own)
        head.run(given, synthesis, masks, prompts, finished.head(name).parent, latents)
    return finished


@pytest.fixture(scope="module")
def exported(heads: FinishedHeads, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the default head; read only."""
    return heads.export("inversion", tmp_path_factory.mktemp("exported") / "dseg-head-test")
