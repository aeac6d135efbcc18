import numpy as np
import pytest
from attention_scene import SETTINGS, disc_scene, iou

from dseg.artifacts.recordings import attention_of
from dseg.artifacts.shards import read_shard, write_shard
from dseg.errors import DsegError
from dseg.method.cut.attentioncut import attention_cut
from dseg.method.cut.filter import Reason
from dseg.settings.reading import load_settings
from dseg.settings.sections import sections, settings_hash
from dseg.stages.attentioncut import SECTIONS, run


@pytest.fixture(scope="module")
def settings(root):
    """Those of the default run, but for values of the cut that do not move with its tuning."""
    whole = load_settings(root / "params.yaml")
    return whole.model_copy(update={"attentioncut": whole.attentioncut.model_copy(update=SETTINGS)})


@pytest.fixture(scope="module")
def scenes():
    return [disc_scene(size=64, seed=seed) for seed in range(3)]


def write(path, scenes, stage="synthesis", kind="images", **changes):
    fields = {
        "image": np.stack([scene.image for scene in scenes]),
        "cross_1": np.stack([scene.cross for scene in scenes]).astype(np.float16),
        "cross_2": np.stack([scene.cross[::2, ::2] for scene in scenes]).astype(np.float16),
        "affinity_indices": np.stack([scene.indices for scene in scenes]),
        "affinity_weights": np.stack([scene.weights for scene in scenes]),
    }
    fields = {name: array for name, array in (fields | changes).items() if array is not None}
    ids = [f"disc-{row}" for row in range(len(scenes))]
    write_shard(path, fields, ids=ids, kind=kind, stage=stage, settings_hash="0" * 16)
    return path


@pytest.mark.parametrize("stage", ["synthesis", "recording"])
def test_a_shard_of_masks_comes_out(tmp_path, settings, scenes, stage):
    run(settings, write(tmp_path / "in.safetensors", scenes, stage), tmp_path / "out.safetensors")
    shard = read_shard(tmp_path / "out.safetensors", stage="attentioncut")
    assert shard.ids == ("disc-0", "disc-1", "disc-2")
    assert shard.settings_hash == settings_hash(sections(settings, *SECTIONS))
    types = {name: (array.dtype.name, array.shape[1:]) for name, array in shard.fields.items()}
    assert types == {
        "mask": ("bool", (64, 64)),
        "soft": ("float16", (64, 64)),
        "energy": ("float32", ()),
        "area": ("float32", ()),
        "kept": ("bool", ()),
        "reason": ("uint8", ()),
    }
    for row, scene in enumerate(scenes):
        assert iou(shard.fields["mask"][row], scene.mask) > 0.9
        assert shard.fields["area"][row] == shard.fields["mask"][row].mean()
    assert shard.fields["kept"].all() and not shard.fields["reason"].any()


@pytest.mark.parametrize("strides", [(1,), (2,), (1, 2)])
def test_the_chosen_resolutions_of_the_cross_map_are_combined(tmp_path, settings, scenes, strides):
    source = write(tmp_path / "in.safetensors", scenes)
    chosen = settings.attentioncut.model_copy(update={"cross_strides": strides})
    changed = settings.model_copy(update={"attentioncut": chosen})
    run(changed, source, tmp_path / "out.safetensors")
    expected = attention_cut(*attention_of(read_shard(source), 1), chosen)
    masks = read_shard(tmp_path / "out.safetensors").fields
    np.testing.assert_array_equal(masks["mask"][1], expected.mask)
    assert masks["energy"][1] == np.float32(expected.energy)


def test_dropped_masks_stay_in_the_shard_with_their_reason(tmp_path, settings, scenes):
    cross = np.stack([scene.cross for scene in scenes]).astype(np.float16)
    cross[1] = 0.25
    source = write(tmp_path / "in.safetensors", scenes, cross_1=cross, cross_2=None)
    run(settings, source, tmp_path / "out.safetensors")
    fields = read_shard(tmp_path / "out.safetensors").fields
    np.testing.assert_array_equal(fields["kept"], [True, False, True])
    np.testing.assert_array_equal(fields["reason"], [0, Reason.UNFOCUSED, 0])


def test_the_same_shard_gives_the_same_bytes(tmp_path, settings, scenes):
    source = write(tmp_path / "in.safetensors", scenes)
    for name in ("a", "b"):
        run(settings, source, tmp_path / f"{name}.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_unusable_input_names_file_and_item(tmp_path, settings, scenes):
    cross = np.stack([scene.cross for scene in scenes]).astype(np.float16)
    cross[2, 0, 0] = np.nan
    source = write(tmp_path / "nan.safetensors", scenes, cross_1=cross)
    with pytest.raises(DsegError, match=r"nan\.safetensors: item disc-2: cross map holds NaN"):
        run(settings, source, tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cross_1": None}, r"disc-0: no field 'cross_1' \(there are: cross_2\)"),
        ({"affinity_weights": None}, "no field 'affinity_weights'"),
        ({"kind": "latents"}, "its kind of content is 'latents', expected 'images'"),
    ],
)
def test_other_shards_are_refused(tmp_path, settings, scenes, changes, message):
    source = write(tmp_path / "in.safetensors", scenes, **changes)
    with pytest.raises(DsegError, match=message):
        run(settings, source, tmp_path / "out.safetensors")
