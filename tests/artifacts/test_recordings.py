"""Attention goes into a shard as it is and comes out image by image."""

import numpy as np
import pytest
from attention_scene import disc_scene

from dseg.artifacts.recordings import attention_fields, attention_of
from dseg.artifacts.shards import Shard, read_shard, write_shard
from dseg.errors import DsegError
from dseg.method.cut.evidence import AttentionMaps

SCENES = [disc_scene(grid=8, kept=16, seed=seed) for seed in range(3)]


def maps_of(scenes):
    return AttentionMaps(
        {
            stride: np.stack([scene.cross[::stride, ::stride] for scene in scenes]).astype("e")
            for stride in (1, 2)
        },
        np.stack([scene.indices for scene in scenes]),
        np.stack([scene.weights for scene in scenes]),
    )


def fields_in_two_batches():
    batches = (SCENES[:2], SCENES[2:])
    images = [np.stack([scene.image for scene in batch]) for batch in batches]
    return attention_fields(images, [maps_of(batch) for batch in batches])


def shard(path, fields) -> Shard:
    write_shard(
        path, fields, ids=list("abc"), kind="images", stage="recording", settings_hash="0" * 16
    )
    return read_shard(path)


def test_fields_have_the_names_and_types_of_the_maps_whatever_the_batches():
    fields, whole = fields_in_two_batches(), maps_of(SCENES)
    assert {name: (array.dtype.name, array.shape) for name, array in fields.items()} == {
        "image": ("uint8", (3, 64, 64, 3)),
        "cross_1": ("float16", (3, 8, 8)),
        "cross_2": ("float16", (3, 4, 4)),
        "affinity_indices": ("int32", (3, 64, 16)),
        "affinity_weights": ("float16", (3, 64, 16)),
    }
    np.testing.assert_array_equal(fields["cross_2"], whole.cross[2])
    np.testing.assert_array_equal(fields["affinity_indices"], whole.affinity_indices)


def test_an_item_comes_back_as_its_maps_said(tmp_path):
    written = shard(tmp_path / "shard.safetensors", fields_in_two_batches())
    for row, scene in enumerate(SCENES):
        attention, image = attention_of(written, row)
        np.testing.assert_array_equal(image, scene.image)
        expected = maps_of(SCENES).of_image(row, (64, 64))
        assert attention.cross.keys() == {1, 2}
        np.testing.assert_array_equal(attention.noun_map, expected.noun_map)
        np.testing.assert_array_equal(attention.affinity.indices, expected.affinity.indices)
        np.testing.assert_array_equal(attention.affinity.weights, expected.affinity.weights)


@pytest.mark.parametrize("name", ["image", "affinity_indices", "affinity_weights"])
def test_a_field_that_is_not_there_is_named(tmp_path, name):
    fields = {key: array for key, array in fields_in_two_batches().items() if key != name}
    with pytest.raises(DsegError, match=f"no field '{name}'; remove .* run recording again"):
        attention_of(shard(tmp_path / "shard.safetensors", fields), 0)
