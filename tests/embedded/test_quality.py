"""Measures of a base model, on maps and images made up so that the answer is known."""

from types import SimpleNamespace

import numpy as np
import pytest

from dseg.datasets.opening import open_benchmark
from dseg.embedded.quality import localisation
from dseg.method.resample import resize
from dseg.stages import world as stage


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world") / "val"
    world = SimpleNamespace(size=64, images={"val": 6}, shift_strength=0.5)
    stage.run(SimpleNamespace(seed=0, world=world), "val", folder)
    return open_benchmark("saliency", folder)


def coverage(samples):
    return np.stack([resize(sample.mask(), (16, 16)) for sample in samples])


def test_a_perfect_map_is_limited_by_its_grid_alone(samples):
    assert 0.8 < localisation(coverage(samples), samples) < 1
    fine = np.stack([sample.mask().astype(np.float32) for sample in samples])
    assert localisation(fine, samples) == 1


def test_a_root_keeps_the_rest_of_an_object_with_one_strong_part(samples):
    maps = 0.2 * coverage(samples) + 0.01
    for cross in maps:  # one cell of the object draws most of the attention
        cross[np.unravel_index(cross.argmax(), cross.shape)] *= 12
    assert localisation(maps, samples, 0.5) > localisation(maps, samples) + 0.1


def test_the_scale_of_a_map_does_not_matter(samples):
    maps = coverage(samples)
    assert localisation(7 * maps, samples, 0.5) == localisation(maps, samples, 0.5)
