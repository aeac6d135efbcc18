"""Attention on the images of a benchmark on disk."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dseg.artifacts.shards import Shard, read_shards, write_shard
from dseg.base_model.pipeline import encode, load_pipeline
from dseg.datasets.opening import Sample
from dseg.errors import DsegError
from dseg.method.prompts import item_seed
from dseg.method.recording import noised
from dseg.settings.reading import load_sections
from dseg.settings.run import Settings
from dseg.stages.recording import _noun, run

pytest_plugins = ("tiny_pipeline",)
NOUNS = ["moon", "key", "fish"]
IDS = ["a", "b", "c"]


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three images with masks and captions; the last image is larger than the model's."""
    root = tmp_path_factory.mktemp("benchmark")
    rng = np.random.default_rng(0)
    (root / "images").mkdir()
    (root / "masks").mkdir()
    for item, size in zip(IDS, (32, 32, 45), strict=True):
        pixels = rng.integers(0, 256, (size, size, 3), np.uint8)
        Image.fromarray(pixels).save(root / "images" / f"{item}.png")
        Image.fromarray(pixels[..., 0]).save(root / "masks" / f"{item}.png")
    lines = [f"{item},{noun},a photo of a {noun}" for item, noun in zip(IDS, NOUNS, strict=True)]
    (root / "captions.csv").write_text("\n".join(["id,noun,caption", *lines, ""]))
    return root


@pytest.fixture
def settings(tiny_pipeline: Path, tmp_path: Path):
    def make(**recording: Any) -> Settings:
        values = {
            "seed": 1,
            "model": {
                "path": str(tiny_pipeline),
                "revision": None,
                "dtype": "float32",
                "device": "cpu",
            },
            "benchmarks": {"test": {"layout": "saliency", "root": "elsewhere", "images": 3}},
            "attention": {
                "cross_strides": [1],
                "affinity_stride": 2,
                "neighbours": 16,
                "measure": "noun",
            },
            "recording": {
                "timesteps": [0.1, 0.3],
                "noun": "class",
                "latents": "noise",
                "context": None,
                "measure": None,
                "affinity_stride": None,
                "batch_size": 1,
                "items_per_shard": 2,
            }
            | recording,
            "prompts": {"classes": NOUNS},
            "inversion": {"steps": 50, "timesteps": [0.0, 0.1, 0.3]},
        }
        file = tmp_path / "settings.json"
        file.write_text(json.dumps(values))
        return load_sections(file)

    return make


def record(chosen: Settings, root: Path, folder: Path, shards: int, **options: Any) -> Shard:
    files = [folder / f"{shard}.safetensors" for shard in range(shards)]
    for shard, file in enumerate(files):
        run(chosen, "test", root, shard, file, **options)
    return read_shards(files, stage="recording")


def test_sharding_changes_no_bit(settings, benchmark: Path, tmp_path: Path) -> None:
    by_two = record(settings(), benchmark, tmp_path, 2)
    whole = record(settings(items_per_shard=9), benchmark, tmp_path, 1)
    assert {n: (a.dtype.name, a.shape) for n, a in whole.fields.items()} == {
        "image": ("uint8", (3, 32, 32, 3)),
        "cross_1": ("float16", (3, 8, 8)),
        "affinity_indices": ("int32", (3, 16, 16)),
        "affinity_weights": ("float16", (3, 16, 16)),
    }
    assert by_two.ids == whole.ids == tuple(IDS)
    for name, array in whole.fields.items():
        assert np.array_equal(by_two.fields[name], array), name
    stored = np.asarray(Image.open(benchmark / "images" / "a.png"))
    assert np.array_equal(whole.fields["image"][0], stored)


def test_a_recording_may_have_another_resolution_of_self_attention(
    settings, benchmark: Path, tmp_path: Path
) -> None:
    coarse = record(settings(items_per_shard=3), benchmark, tmp_path, 1).fields
    fine = record(settings(items_per_shard=3, affinity_stride=1), benchmark, tmp_path, 1).fields
    assert coarse["affinity_indices"].shape[1] == 16 and fine["affinity_indices"].shape[1] == 64
    np.testing.assert_array_equal(coarse["cross_1"], fine["cross_1"])


def test_the_noun_is_the_class_or_the_word_object(
    settings, benchmark: Path, tmp_path: Path
) -> None:
    told = record(settings(items_per_shard=3), benchmark, tmp_path, 1)
    generic = record(settings(items_per_shard=3, noun="object"), benchmark, tmp_path, 1)
    assert np.array_equal(told.fields["image"], generic.fields["image"])
    assert np.abs(told.fields["cross_1"] - generic.fields["cross_1"]).max() > 1e-3


def test_any_other_word_is_said_of_every_image(settings, benchmark: Path, tmp_path: Path) -> None:
    """What `moon` gives where it is said of all is what the class gives where it is the class."""
    told = record(settings(items_per_shard=3), benchmark, tmp_path, 1).fields["cross_1"]
    fixed = settings(items_per_shard=3, noun="moon")
    always = record(fixed, benchmark, tmp_path, 1).fields["cross_1"]
    assert np.array_equal(always[0], told[0])
    assert all((always[row] != told[row]).any() for row in (1, 2))
    assert _noun(fixed, Sample("z", benchmark / "no.png")) == "moon"


def test_a_wrong_noun_is_never_the_own_and_the_same_each_time(
    settings, benchmark: Path, tmp_path: Path
) -> None:
    wrong = settings(noun="wrong")
    samples = [Sample(f"{i}", Path("x"), noun=noun) for i in range(60) for noun in (*NOUNS, "sea")]
    words = [_noun(wrong, sample) for sample in samples]
    assert words == [_noun(settings(noun="wrong", batch_size=3), sample) for sample in samples]
    assert all(word != sample.noun for word, sample in zip(words, samples, strict=True))
    assert {*words} == {*NOUNS}
    by_two = record(wrong, benchmark, tmp_path, 2).fields["cross_1"]
    whole = record(settings(noun="wrong", items_per_shard=3), benchmark, tmp_path, 1)
    assert np.array_equal(by_two, whole.fields["cross_1"])
    told = record(settings(), benchmark, tmp_path, 2).fields["cross_1"]
    assert all((one != other).any() for one, other in zip(by_two, told, strict=True))


def test_without_another_noun_none_is_wrong(settings) -> None:
    alone = settings(noun="wrong")
    prompts = alone.prompts.model_copy(update={"classes": ("moon",)})
    alone = alone.model_copy(update={"prompts": prompts})
    with pytest.raises(DsegError, match=r"wrong, but prompts\.classes has no other noun"):
        _noun(alone, Sample("a", Path("x"), noun="moon"))


def test_inverted_latents_take_the_place_of_noise(
    settings, benchmark: Path, tmp_path: Path, tiny_pipeline: Path
) -> None:
    expected = record(settings(items_per_shard=3), benchmark, tmp_path, 1).fields
    pipe = load_pipeline(tiny_pipeline)
    clean = encode(pipe, expected["image"])
    z = noised(pipe, clean, [item_seed(1, item) for item in IDS], [100, 300])
    rows = torch.cat([clean[:, None], z], dim=1).half().numpy()  # timesteps 0, .1, .3
    files = [tmp_path / "inverted" / name for name in ("0.safetensors", "1.safetensors")]
    for file, items in zip(files, ([2, 0], [1]), strict=True):
        ids = [IDS[item] for item in items]
        write_shard(
            file,
            {"latents": rows[items]},
            ids=ids,
            kind="latents",
            stage="inversion",
            settings_hash="0",
        )
    chosen = settings(items_per_shard=3, latents="inversion")
    got = record(chosen, benchmark, tmp_path, 1, latents=files).fields
    np.testing.assert_allclose(got["cross_1"], expected["cross_1"], rtol=0.02)
    assert np.array_equal(got["image"], expected["image"])
    with pytest.raises(DsegError, match="no latents of 'a', .*; run the stage inversion"):
        record(chosen, benchmark, tmp_path, 1, latents=files[1:])
    with pytest.raises(DsegError, match="no shards of it were given"):
        record(chosen, benchmark, tmp_path, 1)
    other = settings(latents="inversion", timesteps=[0.2])
    with pytest.raises(DsegError, match="recording.timesteps: 0.2 with inverted latents"):
        record(other, benchmark, tmp_path, 1, latents=files)


def test_a_class_that_nobody_tells_is_an_error(settings, benchmark: Path, tmp_path: Path) -> None:
    for part in ("images", "masks"):
        (tmp_path / "bare" / part).mkdir(parents=True)
        for file in (benchmark / part).iterdir():
            (tmp_path / "bare" / part / file.name).write_bytes(file.read_bytes())
    with pytest.raises(DsegError, match="recording.noun: class, but nothing says what .*a.png"):
        record(settings(), tmp_path / "bare", tmp_path, 1)
    with pytest.raises(DsegError, match="noun: wrong, .* or the benchmark's `named` to false"):
        record(settings(noun="wrong"), tmp_path / "bare", tmp_path, 1)
    assert record(settings(noun="object"), tmp_path / "bare", tmp_path, 2).ids == tuple(IDS)
    with pytest.raises(DsegError, match="no benchmark 'other'"):
        run(settings(), "other", benchmark, 0, tmp_path / "x.safetensors")
