"""From a trained head to masks of a benchmark's images, at their own sizes."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dseg.artifacts.heads import read_head, write_head
from dseg.artifacts.shards import Shard, read_shard, read_shards
from dseg.datasets.opening import open_benchmark
from dseg.errors import DsegError
from dseg.evaluation.boxes import mask_to_box
from dseg.method.resample import match_size
from dseg.settings.run import Settings
from dseg.stages import benchmark_inversion, head, inversion, prediction

pytest_plugins = ("tiny_pipeline", "stage_two")
Make = Callable[..., Settings]
TRAINING = {"epochs": 20, "width": 16}


@pytest.fixture(scope="module")
def heads(
    make: Make, synthesis: list[Path], masks: list[Path], prompts: Path, tmp_path_factory
) -> Path:
    """Folder of two heads, features/ and rgb/."""
    folder = tmp_path_factory.mktemp("heads")
    latents = [folder / path.name for path in synthesis]
    for path, out in zip(synthesis, latents, strict=True):
        inversion.run(make(inversion={"batch_size": 20}), path, prompts, out)
    head.run(make(head=TRAINING), synthesis, masks, prompts, folder / "features", latents)
    head.run(make(head={**TRAINING, "input": "rgb"}), synthesis, masks, prompts, folder / "rgb")
    return folder


@pytest.fixture(scope="module")
def latents(make: Make, benchmark: Path, tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("inversion")
    outs = [folder / f"{shard}.safetensors" for shard in range(2)]
    for shard, out in enumerate(outs):
        benchmark_inversion.run(make(), "test", benchmark, shard, out)
    return outs


def predicted(chosen: Settings, root: Path, trained: Path, folder: Path, **options) -> Shard:
    outs = [folder / f"{shard}.safetensors" for shard in range(2)]
    for shard, out in enumerate(outs):
        prediction.run(chosen, "test", root, shard, trained, out, **options)
    return read_shards(outs, stage="prediction")


@pytest.mark.parametrize("kind", ["features", "rgb"])
def test_finds_the_discs_of_a_benchmark(
    kind: str, make: Make, heads: Path, benchmark: Path, latents: list[Path], tmp_path: Path
) -> None:
    options = {"latents": latents} if kind == "features" else {}
    trained = heads / kind / "head.safetensors"
    shard = predicted(make(), benchmark, trained, tmp_path, **options)
    assert shard.ids == ("a", "b", "c")
    assert {name: (a.dtype.name, a.shape) for name, a in shard.fields.items()} == {
        "soft": ("uint8", (3, 2, 32, 32)),
        "size": ("int32", (3, 2)),
        "box": ("int32", (3, 2, 4)),
    }
    assert shard.fields["size"].tolist() == [[32, 32], [48, 40], [32, 32]]
    samples = open_benchmark("saliency", benchmark)
    for row, sample in enumerate(samples):
        truth = sample.mask()
        assert truth is not None
        for given, box in zip(shard.fields["soft"][row], shard.fields["box"][row], strict=True):
            soft = match_size(given, (truth.shape[0], truth.shape[1]))
            mask = (soft / 255 if soft.dtype == np.uint8 else soft) > 0.5
            assert (mask & truth).sum() / (mask | truth).sum() > 0.7
            assert np.array_equal(box, mask_to_box(mask))
        assert (shard.fields["soft"][row, 0] != shard.fields["soft"][row, 1]).any()


def test_sharding_changes_no_mask(
    make: Make, heads: Path, benchmark: Path, latents: list[Path], tmp_path: Path
) -> None:
    trained = heads / "features" / "head.safetensors"
    parts = predicted(make(), benchmark, trained, tmp_path, latents=latents)
    whole = tmp_path / "whole.safetensors"
    one = make(inversion={"items_per_shard": 9})
    prediction.run(one, "test", benchmark, 0, trained, whole, latents)
    got = read_shard(whole).fields["soft"].astype(int)
    assert np.abs(got - parts.fields["soft"]).max() <= 1


def test_the_box_follows_the_settings(
    make: Make, heads: Path, benchmark: Path, tmp_path: Path
) -> None:
    trained = heads / "rgb" / "head.safetensors"
    boxes = [
        predicted(make(evaluation={"threshold": threshold}), benchmark, trained, tmp_path).fields[
            "box"
        ]
        for threshold in (0.02, 0.9)
    ]
    assert (boxes[0][..., :2] <= boxes[1][..., :2]).all() and (
        boxes[0][..., 2:] >= boxes[1][..., 2:]
    ).all()
    assert not np.array_equal(boxes[0], boxes[1])


def test_a_head_of_another_origin_is_an_error(
    make: Make, heads: Path, benchmark: Path, latents: list[Path], tmp_path: Path
) -> None:
    trained, out = heads / "features" / "head.safetensors", tmp_path / "out.safetensors"

    def run(chosen: Settings, rows: list[Path] = latents, file: Path = trained) -> None:
        prediction.run(chosen, "test", benchmark, 0, file, out, rows)

    other = tmp_path / "other"
    shutil.copytree(make().model.path, other)
    (other / "unet" / "config.json").write_text(
        (other / "unet" / "config.json").read_text().replace("\n", " \n")
    )
    with pytest.raises(DsegError, match="whose files are not those of"):
        run(make(model={"path": str(other)}))
    with pytest.raises(DsegError, match=r"trained with inversion\.fixed_point 0"):
        run(make(inversion={"fixed_point": 2}))
    with pytest.raises(DsegError, match="no shards of the stage inversion were given"):
        run(make(), rows=[])
    with pytest.raises(DsegError, match="no latents of 'a'"):
        run(make(), rows=latents[1:])
    with pytest.raises(DsegError, match="no such file; run the stage head"):
        run(make(), file=tmp_path / "none.safetensors")
    network, architecture, about = read_head(trained)
    changed = tmp_path / "changed.safetensors"
    about = about.model_copy(
        update={"features": about.features.model_copy(update={"strides": (1,)})}
    )
    write_head(changed, network.state_dict(), architecture, about)
    with pytest.raises(DsegError, match="other features than the model gives"):
        run(make(), file=changed)
    with pytest.raises(DsegError, match="no benchmark 'other'"):
        prediction.run(make(), "other", benchmark, 0, trained, out, latents)
    assert not out.exists()
