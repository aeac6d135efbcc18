import numpy as np
import pytest
from attention_scene import SETTINGS, attention, disc_scene, iou

from dseg.errors import DsegError
from dseg.method.cut.attentioncut import attention_cut
from dseg.method.cut.filter import Reason, judge
from dseg.rivals.thresholds import BASELINES
from dseg.settings.masks import AttentionCutSettings

WITHOUT = {  # the rows of an ablation: each is a change of settings and nothing else
    "walk": {"walk_steps": 0},
    "self": {"lambda_self": 0.0},
    "contrast": {"lambda_contrast": 0.0},
    "link": {"lambda_link": 0.0},
    "colour": {"lambda_colour": 0.0},
    "pixels": {"size": 0},
}
HARD = {"noise": 30.0, "distinct": 0.25, "doubt": 0.6}


def settings(**changes):
    return AttentionCutSettings(**{**SETTINGS, **changes})


def cut(scene, **changes):
    return attention_cut(*scene.inputs, settings(**changes))


@pytest.mark.parametrize("seed", range(6))
def test_a_disc_is_recovered_from_a_blurred_map(seed):
    scene = disc_scene(seed=seed)
    result = cut(scene)
    assert iou(result.mask, scene.mask) > 0.9
    assert iou(result.mask, scene.mask) > iou(BASELINES["otsu"](*scene.inputs) > 0.5, scene.mask)
    assert result.kept and result.reason is Reason.KEPT
    assert result.area == pytest.approx(scene.mask.mean(), rel=0.1)


@pytest.mark.parametrize("without", WITHOUT)
def test_each_term_has_an_effect_on_hard_scenes(without):
    scenes = [disc_scene(seed=seed, **HARD) for seed in range(4)]
    pairs = [(cut(scene).mask, cut(scene, **WITHOUT[without]).mask) for scene in scenes]
    assert any(not np.array_equal(whole, partial) for whole, partial in pairs)
    # ... and the cut still works without it.
    scores = [iou(partial, scene.mask) for (_, partial), scene in zip(pairs, scenes, strict=True)]
    assert np.mean(scores) > 0.6


def boundary(mask):
    return (mask[1:] != mask[:-1]).sum() + (mask[:, 1:] != mask[:, :-1]).sum()


def test_the_contrast_term_shortens_the_boundary():
    scene = disc_scene(seed=2, **HARD)
    lengths = [boundary(cut(scene, lambda_contrast=weight).mask) for weight in (0.0, 0.02, 0.2)]
    assert lengths[0] > lengths[1] > lengths[2] > 0


def test_pixels_sharpen_what_the_cells_can_only_outline():
    scores = []
    for seed in range(4):
        scene = disc_scene(seed=seed, grid=8, kept=16)
        masks = [cut(scene, size=size, neighbours=8).mask for size in (0, 64)]
        scores.append([iou(mask, scene.mask) for mask in masks])
    coarse, fine = np.mean(scores, axis=0)
    assert fine > coarse + 0.05


def test_the_colour_term_wins_back_a_part_the_map_missed():
    scene = disc_scene(seed=2)
    cross = scene.cross.copy()
    cross[:, : int(np.argwhere(scene.mask)[:, 1].mean() / 4)] *= 0.4  # the disc's left half
    without, with_colour = (
        attention_cut(*scene.seen(cross), settings(lambda_colour=weight, walk_steps=0)).mask
        for weight in (0.0, 1.0)
    )
    assert iou(with_colour, scene.mask) > iou(without, scene.mask) + 0.1


def test_the_self_attention_term_alone_carries_a_label_to_similar_cells():
    scene = disc_scene(seed=5)
    cross = scene.cross + 0.25 * np.random.default_rng(0).random((16, 16)).astype(np.float32)
    bare = {"walk_steps": 0, "lambda_contrast": 0.0, "lambda_colour": 0.0, "size": 0}
    without, with_self = (
        attention_cut(*scene.seen(cross), settings(lambda_self=weight, **bare)).mask
        for weight in (0.0, 1.0)
    )
    assert iou(with_self, scene.mask) > iou(without, scene.mask)


@pytest.mark.parametrize("size", [64, None])
def test_soft_agrees_with_the_mask(size):
    scene = disc_scene(seed=4)
    result = cut(scene, size=size)
    assert result.soft.dtype == np.float32 and result.soft.shape == (64, 64)
    assert result.soft.min() >= 0 and result.soft.max() <= 1
    np.testing.assert_array_equal(result.soft > 0.5, result.mask)
    assert len(np.unique(result.soft)) > 20  # it says more than the mask


def test_image_may_be_oblong_and_larger_than_the_working_resolution():
    scene = disc_scene(size=96, grid=12, kept=24)
    image = scene.image[:64]
    indices = np.tile(np.arange(96)[:, None], (1, 1))
    weights = np.ones((96, 1), np.float16)
    result = attention_cut(
        attention(scene.cross[:8], indices, weights, image), image, settings(size=48)
    )
    assert result.mask.shape == (64, 96)
    assert iou(result.mask, scene.mask[:64]) > 0.85


def test_the_map_may_be_finer_or_coarser_than_the_self_attention():
    fine, coarse = disc_scene(seed=7, grid=16), disc_scene(seed=7, grid=8, kept=32)
    mixed = [
        attention_cut(*coarse.seen(fine.cross), settings()),
        attention_cut(*fine.seen(coarse.cross), settings()),
    ]
    for result in mixed:
        assert iou(result.mask, fine.mask) > 0.85


def test_the_same_input_gives_the_same_mask():
    scene = disc_scene(seed=8)
    first, second = cut(scene), cut(scene)
    np.testing.assert_array_equal(first.mask, second.mask)
    np.testing.assert_array_equal(first.soft, second.soft)
    assert first.energy == second.energy


def test_the_scale_of_the_map_and_half_precision_do_not_matter():
    scene = disc_scene(seed=9)
    reference = cut(scene).mask
    for cross in (scene.cross * 1e-3, scene.cross.astype(np.float16)):
        mask = attention_cut(*scene.seen(cross), settings()).mask
        assert iou(mask, reference) > 0.98


def test_a_larger_weight_costs_more_energy():
    scene = disc_scene(seed=0)
    for name in ("lambda_self", "lambda_contrast", "lambda_link"):
        low, high = (
            cut(scene, lambda_colour=0.0, **{name: SETTINGS[name] * factor}).energy
            for factor in (0.5, 2.0)
        )
        assert low < high


def flat(value):
    return np.full((16, 16), value, np.float32)


def test_a_flat_map_gives_an_empty_mask_that_is_dropped():
    scene = disc_scene()
    for value in (0.0, 1e-3, 1.0):
        result = attention_cut(*scene.seen(flat(value)), settings())
        assert not result.mask.any() and result.area == 0
        assert (result.kept, result.reason) == (False, Reason.UNFOCUSED)


def square(top, bottom, left, right):
    mask = np.zeros((40, 40), bool)
    mask[top:bottom, left:right] = True
    return mask


CENTRE = square(10, 30, 10, 30)


@pytest.mark.parametrize(
    ("mask", "cross", "reason"),
    [
        (CENTRE, CENTRE + 0.1, Reason.KEPT),
        (square(0, 40, 0, 20), square(0, 40, 0, 20) + 0.1, Reason.KEPT),  # half of the border
        (square(0, 0, 0, 0), CENTRE + 0.1, Reason.TOO_SMALL),
        (square(10, 14, 10, 14), CENTRE + 0.1, Reason.TOO_SMALL),
        (square(0, 40, 0, 40), CENTRE + 0.1, Reason.TOO_LARGE),
        (~square(14, 26, 14, 26), CENTRE + 0.1, Reason.TOO_LARGE),
        (~square(8, 30, 8, 30), CENTRE + 0.1, Reason.BORDER),
        (CENTRE, np.ones((40, 40)), Reason.UNFOCUSED),
        (CENTRE, 1 - 0.5 * CENTRE, Reason.UNFOCUSED),
        (CENTRE, 1 + 0.05 * CENTRE, Reason.UNFOCUSED),
    ],
)
def test_the_filter_names_its_reason(mask, cross, reason):
    assert judge(mask, cross.astype(np.float32), settings()) is reason


def test_bad_input_is_refused_with_one_clear_line():
    scene = disc_scene()
    cross, indices, weights, image = scene.cross, scene.indices, scene.weights, scene.image
    bad = [
        ((cross * np.nan, indices, weights, image), "cross map holds NaN"),
        ((cross[None], indices, weights, image), r"cross map is \(1, 16, 16\)"),
        ((cross, indices[:, :5], weights, image), "affinity indices are"),
        ((cross, indices[:200], weights[:200], image), r"in \[0, 200\)"),
        ((cross, indices, weights, image / 255), "expected uint8"),
        ((cross, indices, weights, image[..., 0]), "expected uint8"),
    ]
    for inputs, message in bad:
        with pytest.raises(DsegError, match=message):
            attention_cut(attention(*inputs), inputs[-1], settings())
