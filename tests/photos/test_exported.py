"""A head of a run -> a folder that segments by itself, as the run's own stages do."""

import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import yaml
from PIL import Image

import dseg
from dseg.artifacts.shards import read_shard
from dseg.commands.export import export
from dseg.errors import DsegError
from dseg.orchestration.provenance import sources
from dseg.photos import exported as exported_module
from dseg.reporting.summary import Summary
from dseg.stages import benchmark_inversion, prediction

pytest_plugins = ("tiny_pipeline", "stage_two", "exported_head")


@pytest.fixture
def copy(exported, tmp_path):
    """A folder of an exported head to do things to."""
    return shutil.copytree(exported, tmp_path / exported.name)


def change(folder, **values):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_the_folder_says_what_the_run_said(heads, exported):
    assert sorted(path.name for path in exported.iterdir()) == [
        "README.md",
        "config.json",
        "head.safetensors",
    ]
    config, settings = exported_module.read_config(exported), heads.settings
    assert config.inversion == settings.inversion and config.features == settings.features
    assert config.recording == settings.recording and config.attention == settings.attention
    assert config.attentioncut == settings.attentioncut
    assert config.threshold == settings.evaluation.threshold
    assert config.training.scores == {"test": {"iou": heads.scores["inversion"]}}
    assert config.training.embedded


@pytest.mark.parametrize("variant", ["inversion", "clean", "rgb"])
def test_masks_are_those_that_the_run_evaluates(heads, variant, benchmark, tmp_path):
    features, own = heads.settings.variant(variant)
    entry = heads.settings.benchmark("test").model_copy(update={"images": 3})
    given = heads.given(features=features, head=own, benchmarks={"test": entry})
    shard = "00000-of-00001.safetensors"
    benchmark_inversion.run(given, "test", benchmark, 0, tmp_path / "latents" / shard)
    prediction.run(
        given,
        "test",
        benchmark,
        0,
        heads.head(variant),
        tmp_path / "predictions" / shard,
        [tmp_path / "latents" / shard],
    )
    stored = read_shard(tmp_path / "predictions" / shard)
    segmenter = dseg.load(heads.export(variant, tmp_path / "exported"), device="cpu")
    paths = [benchmark / "images" / f"{item}.png" for item in stored.ids]
    images = [np.array(Image.open(path).convert("RGB")) for path in paths]
    for index, result in enumerate(segmenter.segment(images)):
        height, width = stored.fields["size"][index]
        assert result.mask.shape == (height, width)
        if (height, width) == segmenter.method.size:  # others were resized from 8 bits
            difference = np.abs(result.soft - stored.fields["soft"][index, 0] / 255)
            assert difference.max() <= 0.5 / 255 + 1e-4
            assert result.boxes[0].tolist() == stored.fields["box"][index, 0].tolist()


def test_it_finds_the_discs_it_was_trained_on(exported, benchmark):
    segmenter = dseg.load(exported, device="cpu")
    for path in sorted((benchmark / "images").iterdir()):
        (result,) = segmenter.segment([Image.open(path)])
        truth = np.array(Image.open(benchmark / "masks" / path.name)) > 127
        assert (result.mask & truth).sum() / (result.mask | truth).sum() > 0.5


def test_the_same_export_is_the_same_bytes(heads, exported, tmp_path):
    again = heads.export("inversion", tmp_path / exported.name)
    for path in exported.iterdir():
        assert path.read_bytes() == (again / path.name).read_bytes()


def test_the_card_has_the_numbers_of_the_run_and_a_front_matter(heads, exported, tmp_path):
    card = (exported / "README.md").read_text()
    front = yaml.safe_load(card.split("---")[1])
    assert front["license"] == "apache-2.0" and front["library_name"] == "dseg"
    assert f"{heads.scores['inversion']:.1f}" in card
    assert "never seen a photograph" in card and "{" not in card
    config = exported_module.read_config(exported)
    assert config.base_model.identity in card and f"{config.training.parameters:,}" in card
    assert str(heads.folder) not in card and max(map(len, card.splitlines())) < 110
    rgb = (heads.export("rgb", tmp_path / "rgb") / "README.md").read_text()
    assert "The image alone" in rgb and config.base_model.identity not in rgb


def test_a_head_of_other_settings_or_without_scores_is_not_exported(heads, tmp_path):
    settings, out = heads.settings, tmp_path / "out"
    other = settings.model_copy(
        update={"inversion": settings.inversion.model_copy(update={"steps": 11})}
    )
    head = heads.head("inversion")
    with pytest.raises(DsegError, match="trained with other settings"):
        export(other, "inversion", head, heads.summary, out)
    with pytest.raises(DsegError, match="trained with other settings"):
        export(settings, "noise", head, heads.summary, out)
    with pytest.raises(DsegError, match="no variant 'inverse'"):
        export(settings, "inverse", head, heads.summary, out)
    summary = tmp_path / "summary.parquet"
    with pytest.raises(DsegError, match="no scores of the run: run make reproduce"):
        export(settings, "inversion", head, summary, out)
    Summary.of([]).write(summary)
    with pytest.raises(DsegError, match="no scores of the variant inversion"):
        export(settings, "inversion", head, summary, out)
    assert not out.exists()


def test_a_changed_base_model_is_refused(heads, copy, tiny_pipeline, tmp_path):
    other = shutil.copytree(tiny_pipeline, tmp_path / "other")
    scheduler = other / "scheduler" / "scheduler_config.json"
    scheduler.write_text(scheduler.read_text() + "\n")
    base = json.loads((copy / "config.json").read_text())["base_model"]
    change(copy, base_model=base | {"folder": str(other)})
    with pytest.raises(DsegError, match="another base model"):
        dseg.load(copy)
    model = heads.settings.model.model_copy(update={"path": str(other)})
    with pytest.raises(DsegError, match="trained with other settings|other files"):
        export(
            heads.settings.model_copy(update={"model": model}),
            "inversion",
            heads.head("inversion"),
            heads.summary,
            tmp_path / "out",
        )


def test_the_base_model_may_lie_beside_the_head(copy, tiny_pipeline, tmp_path):
    base = json.loads((copy / "config.json").read_text())["base_model"]
    change(copy, base_model=base | {"folder": "models/moved-here"})
    with pytest.raises(DsegError, match="put the folder moved-here beside the head's"):
        dseg.load(copy)
    (tmp_path / "moved-here").symlink_to(tiny_pipeline)
    assert dseg.load(copy, device="cpu").method.size == (32, 32)


def test_a_base_model_of_the_repository_is_named_relative_to_it(root):
    described = exported_module.describe_base(
        str(root / "models" / "dseg-tiny"), None, "float32", "0"
    )
    assert (described.folder, described.hub) == ("models/dseg-tiny", None)
    hub = exported_module.describe_base("owner/name", "abc", "float16", "0")
    assert (hub.folder, hub.hub, hub.revision) == (None, "owner/name", "abc")


def test_a_folder_that_is_not_whole_is_one_clear_line(copy, tmp_path):
    with pytest.raises(DsegError, match=r"config\.json: no such file; expected a folder that"):
        dseg.load(tmp_path)
    change(copy, threshold=2.0)
    with pytest.raises(DsegError, match=r"config\.json: threshold: .*export the head again"):
        dseg.load(copy)
    change(copy, threshold=0.5, head="0" * 64)
    with pytest.raises(DsegError, match="is not the one that config.json was written for"):
        dseg.load(copy)
    (copy / "head.safetensors").unlink()
    with pytest.raises(DsegError, match=r"head\.safetensors: no such file"):
        dseg.load(copy)


def test_import_is_light_and_no_stage_depends_on_it(root):
    said = subprocess.run(
        [sys.executable, "-c", "import dseg, sys; print(*sys.modules)"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    assert not re.search(r"\b(torch|numpy|PIL|pydantic)\b", said.stdout)
    for stage in ("synthesis", "head", "prediction", "tables"):
        names = {path.name for path in sources(f"dseg.stages.{stage}", root)}
        assert not names & {"segmenter.py", "segmenters.py", "exported.py", "photo.py"}
