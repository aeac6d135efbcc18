"""Other masks of synthetic images: those of the method named, judged by the same filter."""

from pathlib import Path

import numpy as np
import pytest
from finished_run import make_run, settings_of

from dseg.artifacts.recordings import attention_of
from dseg.artifacts.shards import read_shard
from dseg.errors import DsegError
from dseg.method.cut.filter import Reason
from dseg.rivals.thresholds import walk_otsu
from dseg.stages import mask_sets


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    variants = {"inversion": {}, "otsu": {"head": {"masks": "otsu"}}}
    return make_run(folder, settings_of(folder, {"test": 2}, 4, variants=variants))


@pytest.mark.parametrize("method", ["otsu", "walk-1", "attentioncut", "threshold"])
def test_masks_are_those_of_the_method(run, tmp_path: Path, method: str) -> None:
    (path,) = run.images
    out = tmp_path / "masks.safetensors"
    mask_sets.run(run.given("mask_sets"), method, path, out)
    given, made = read_shard(path), read_shard(out, stage="mask_sets")
    assert made.ids == given.ids
    if method in ("otsu", "walk-1"):
        for row in range(len(given.ids)):
            attention, image = attention_of(given, row)
            soft = walk_otsu(attention.at((1,)), image, steps=0 if method == "otsu" else 1)
            assert np.mean((soft > 0.5) == made.fields["mask"][row]) > 0.99
    if method == "attentioncut":
        usual = read_shard(run.masks[0])
        for name in ("mask", "kept", "reason"):
            assert np.array_equal(usual.fields[name], made.fields[name])
    kept = made.fields["reason"] == Reason.KEPT
    assert np.array_equal(made.fields["kept"], kept)
    np.testing.assert_allclose(made.fields["area"], made.fields["mask"].mean((1, 2)), rtol=1e-6)


def test_an_unknown_method_is_an_error(run, tmp_path: Path) -> None:
    with pytest.raises(DsegError, match="no mask method 'guess'"):
        mask_sets.run(run.settings, "guess", run.images[0], tmp_path / "out")
