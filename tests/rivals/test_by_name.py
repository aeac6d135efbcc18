from dataclasses import replace

import numpy as np
import pytest
import yaml
from attention_scene import disc_scene, iou

from dseg.errors import DsegError
from dseg.method.cut.attentioncut import attention_cut
from dseg.method.resample import resize
from dseg.orchestration.plan import Plan
from dseg.reporting import comparison
from dseg.rivals.by_name import mask_method
from dseg.rivals.thresholds import BASELINES
from dseg.settings.reading import load_settings


@pytest.fixture(scope="module")
def settings(root):
    return load_settings(root / "params.yaml")


def scene_and_attention(seed=1):
    scene = disc_scene(seed=seed)
    crosses = {stride: resize(scene.cross, (16 // stride, 16 // stride)) for stride in (1, 2, 4)}
    return scene, replace(scene.inputs[0], cross=crosses)


def test_every_row_of_the_default_run_makes_a_mask(settings):
    scene, attention = scene_and_attention()
    for name in settings.mask_methods:
        mask = mask_method(settings, name)(attention, scene.image)
        assert mask.shape == (64, 64) and mask.dtype in (bool, np.float32), name
        assert iou(mask > 0.5, scene.mask) > 0.5, name


def test_a_row_changes_what_it_says(settings):
    scene, attention = scene_and_attention()
    changed = settings.attentioncut.model_copy(update={"size": 0})
    expected = attention_cut(attention, scene.image, changed).mask
    got = mask_method(settings, "without-pixels")(attention, scene.image)
    np.testing.assert_array_equal(got, expected)


def test_strides_are_the_methods_own_or_attentioncuts(settings):
    scene, attention = scene_and_attention()
    for name, strides in (("daam", (1, 2)), ("otsu", settings.attentioncut.cross_strides)):
        expected = BASELINES[name](attention.at(strides), scene.image)
        got = mask_method(settings, name)(attention, scene.image)
        np.testing.assert_array_equal(got, expected)


def test_a_row_of_attentioncut_takes_its_own_strides(settings):
    scene, attention = scene_and_attention()
    row = settings.mask_methods["attentioncut"].model_copy(update={"cross_strides": (2, 4)})
    changed = settings.model_copy(update={"mask_methods": {"coarse": row}})
    cut = settings.attentioncut.model_copy(update={"cross_strides": (2, 4)})
    expected = attention_cut(attention, scene.image, cut).mask
    got = mask_method(changed, "coarse")(attention, scene.image)
    np.testing.assert_array_equal(got, expected)


def test_a_stride_that_was_not_recorded_is_named(settings):
    scene, attention = scene_and_attention()
    with pytest.raises(DsegError, match=r"no field 'cross_2' \(there are: cross_1\); add 2"):
        mask_method(settings, "daam")(attention.at((1,)), scene.image)


SWEEP = """
attention: {cross_strides: [1, 2, 4]}
mask_recordings:
  coarse-affinity: {noun: class, affinity_stride: 2}
  early: {noun: class, timesteps: [0.02, 0.05, 0.1]}
  late: {noun: class, timesteps: [0.5, 0.65, 0.8]}
mask_methods:
  otsu: {method: otsu}
  attentioncut: {method: attentioncut}
  neighbours-32: {method: attentioncut, attentioncut: {neighbours: 32}}
  neighbours-4: {method: attentioncut, attentioncut: {neighbours: 4}}
  strides-1-2-4: {method: attentioncut, cross_strides: [1, 2, 4]}
  coarse-affinity: {method: attentioncut, recording: coarse-affinity}
  early: {method: attentioncut, recording: early}
  late: {method: attentioncut, recording: late}
  otsu-inverted: {method: otsu, recording: attentioncut-inversion}
  attentioncut-inverted: {method: attentioncut, recording: attentioncut-inversion}
"""


@pytest.fixture
def sweep(root, tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(SWEEP)
    return load_settings(root / "params.yaml", [path])


def test_rows_of_a_sweep_say_how_they_differ(sweep):
    assert list(comparison.mask_methods(sweep).values()) == [
        "Otsu",
        "AttentionCut",
        "AttentionCut neighbours 4",
        "AttentionCut neighbours 32",
        "AttentionCut strides 1 2 4",
        "Otsu, inverted image",
        "AttentionCut, inverted image",
        "AttentionCut, self-attention at stride 2",
        "AttentionCut, t = 0.02 to 0.1",
        "AttentionCut, t = 0.5 to 0.8",
    ]
    assert comparison.methods(sweep).keys() >= sweep.recordings.keys()
    assert not comparison.methods(sweep).keys() & sweep.mask_recordings.keys()


def test_rows_are_compared_within_their_recording_where_it_has_its_own_otsu(sweep):
    usual, inverted = comparison.mask_groups(sweep)
    assert (usual.reference, usual.full) == ("otsu", "attentioncut")
    assert {"early", "late", "coarse-affinity", "neighbours-4"} <= set(usual.names)
    assert inverted.names == ("otsu-inverted", "attentioncut-inverted")
    assert (inverted.reference, inverted.full) == inverted.names


def test_the_workflow_records_what_a_sweep_asks_for(sweep):
    plan = Plan.__new__(Plan)
    plan.settings, plan.profile = sweep, "sweep"
    shards = plan.mask_method_shards()
    assert {path.split("/")[4] for path in shards} == {
        "attentioncut-inversion",
        "attentioncut-noise",
        *sweep.mask_recordings,
    }
    assert {path.split("/")[3] for path in shards} == {*comparison.mask_benchmarks(sweep)}
    assert {*shards} <= {*plan.needed_shards()}
    # The main tables do not show them.
    assert not any("early" in path for path in plan.evaluated_shards())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"mask_methods": {"a": {"method": "otsu", "recording": "gone"}}},
            r"mask_methods\.a\.recording: expected one of recordings or mask_recordings \(attent",
        ),
        (
            {"mask_methods": {"a": {"method": "daam", "cross_strides": [8]}}},
            r"mask_methods\.a\.cross_strides: expected some of attention.cross_strides \[1, 2, 4\]",
        ),
        (
            {
                "mask_methods": {
                    "a": {"method": "attentioncut", "attentioncut": {"cross_strides": [8]}}
                }
            },
            r"mask_methods\.a\.cross_strides: expected some of attention.cross_strides \[1, 2, 4\]",
        ),
        (
            {"attentioncut": {"cross_strides": [8]}},
            r"attentioncut\.cross_strides: expected some of",
        ),
        ({"mask_recordings": {"attentioncut-noise": {}}}, "expected another name"),
        (
            {"mask_recordings": {"late": {"latents": "inversion", "timesteps": [0.7]}}},
            r"mask_recordings\.late\.timesteps: expected some of inversion.timesteps",
        ),
        ({"mask_methods": {"a": {"method": "grabcut", "seeds": [0.5]}}}, r"mask_methods\.a\.seeds"),
        ({"mask_methods": {"a": {"method": "ncut"}}}, r"mask_methods\.a\.method: expected"),
    ],
)
def test_rows_that_cannot_be_made_are_refused_at_once(root, tmp_path, change, message):
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(change))
    with pytest.raises(DsegError, match=message):
        load_settings(root / "params.yaml", [path])
