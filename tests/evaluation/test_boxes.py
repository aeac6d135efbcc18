"""Masks to boxes, box IoU and CorLoc."""

import numpy as np
import pytest

from dseg.errors import DsegError
from dseg.evaluation.boxes import box_iou, components, corloc, is_hit, mask_to_box, select_component


def two_blobs() -> np.ndarray:
    """A wide dim blob and a small bright one that touches it only at a corner."""
    soft = np.zeros((10, 12), np.float32)
    soft[1:4, 2:8] = 0.6
    soft[4:6, 8:10] = 0.9
    return soft


def box(soft: np.ndarray, **options: object) -> list[int]:
    found = mask_to_box(soft, **options)  # type: ignore[arg-type]
    assert found is not None and found.dtype == np.int32
    return found.tolist()


def test_each_rule_encloses_its_component() -> None:
    soft = two_blobs()
    assert box(soft, rule="largest") == [2, 1, 8, 4]
    assert box(soft, rule="seed") == [8, 4, 10, 6]  # a corner does not connect
    assert box(soft, rule="all") == [2, 1, 10, 6]


def test_the_largest_is_by_pixels_and_of_equals_the_first() -> None:
    mask = np.zeros((8, 8), bool)
    mask[0, :7] = True  # 7 pixels in a long box
    mask[4:7, 0:3] = True  # 9 pixels
    mask[4:7, 5:8] = True
    assert box(mask) == [0, 4, 3, 7]


def test_threshold_is_exclusive_and_the_same_for_8_bits() -> None:
    soft = np.array([[0.0, 0.5, 0.6, 0.0]], np.float32)
    assert box(soft, threshold=0.5) == [2, 0, 3, 1]
    grey = np.array([[0, 127, 128, 51]], np.uint8)
    assert box(grey, threshold=0.5) == [2, 0, 3, 1]
    assert box(grey, threshold=0.2) == [1, 0, 3, 1]  # 51 / 255 = 0.2 is not above it


@pytest.mark.parametrize("rule", ["largest", "all", "seed"])
def test_an_empty_mask_gives_the_whole_image_or_nothing(rule: str) -> None:
    empty = np.zeros((3, 7), np.float32)
    assert box(empty, rule=rule) == [0, 0, 7, 3]
    assert mask_to_box(empty, rule=rule, empty="none") is None


def test_boxes_hold_every_pixel_and_touch_every_side() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        mask = rng.random((9, 13)) < 0.05
        mask[rng.integers(9), rng.integers(13)] = True
        x0, y0, x1, y1 = box(mask, rule="all")
        inside = np.zeros_like(mask)
        inside[y0:y1, x0:x1] = True
        assert not (mask & ~inside).any()
        for side in (mask[y0, :], mask[y1 - 1, :], mask[:, x0], mask[:, x1 - 1]):
            assert side.any()


def test_components_are_parts_of_the_mask() -> None:
    mask = two_blobs() > 0.5
    largest = select_component(mask, "largest")
    seeded = select_component(mask, "seed", (5, 9))
    assert largest.sum() == 18 and seeded.sum() == 4
    assert np.array_equal(largest | seeded, mask)
    assert not select_component(mask, "seed", (0, 0)).any()


def test_box_iou_equals_counting_pixels() -> None:
    rng = np.random.default_rng(1)
    low = rng.integers(0, 10, (2, 15, 2))
    boxes, others = np.concatenate([low, low + rng.integers(1, 10, low.shape)], axis=-1)

    def pixels(corners: np.ndarray) -> np.ndarray:
        x0, y0, x1, y1 = corners
        image = np.zeros((20, 20), bool)
        image[y0:y1, x0:x1] = True
        return image

    expected = [[(pixels(a) & pixels(b)).sum() / (pixels(a) | pixels(b)).sum() for b in others]
                for a in boxes]  # fmt: skip
    np.testing.assert_allclose(box_iou(boxes, others), expected, atol=1e-12)


def test_boxes_without_area_overlap_nothing() -> None:
    flat = np.array([[3, 3, 3, 9], [5, 5, 2, 2]])
    assert not box_iou(flat, flat).any()
    assert box_iou(flat, np.zeros((0, 4))).shape == (2, 0)


def test_a_hit_is_half_of_any_true_box() -> None:
    truths = np.array([[0.0, 0, 4, 4], [10, 10, 20, 20]])
    assert is_hit(np.array([10, 10, 20, 15]), truths)  # IoU exactly one half
    assert not is_hit(np.array([10, 10, 20, 14]), truths)
    assert is_hit(np.array([10, 10, 20, 14]), truths, iou=0.4)
    assert not is_hit(None, truths)


def test_corloc_is_the_share_of_images_hit() -> None:
    truth = np.array([[0, 0, 10, 10]])
    none = np.zeros((0, 4))
    right, wrong = np.array([0, 0, 10, 9]), np.array([20, 20, 30, 30])
    assert corloc([right, wrong, None, right], [truth] * 4) == 0.5
    assert corloc([right, wrong], [truth, none]) == 1.0  # nothing to find in the second


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: mask_to_box(np.ones((4, 4)), rule="biggest"), "'biggest'.*largest, all, seed"),
        (lambda: mask_to_box(np.ones((4, 4)), empty="zero"), "'zero'.*image, none"),
        (lambda: mask_to_box(np.ones((1, 4, 4))), r"\(1, 4, 4\).*\(H, W\)"),
        (lambda: mask_to_box(np.ones((0, 4))), "not empty"),
        (lambda: mask_to_box(np.full((4, 4), np.nan)), "NaN"),
        (lambda: select_component(np.ones((2, 2), bool), "seed"), "seed needs a pixel"),
        (lambda: box_iou(np.zeros(4), np.zeros((1, 4))), r"\(4,\).*\(n, 4\)"),
        (lambda: is_hit(np.zeros(4), np.zeros((0, 4))), "without a true box"),
        (lambda: corloc([], []), "empty"),
        (lambda: corloc([None], []), "unequal"),
    ],
)
def test_bad_input_is_one_clear_error(call: object, words: str) -> None:
    with pytest.raises(DsegError, match=words):
        call()  # type: ignore[operator]


def test_components_are_sorted_by_size_and_specks_are_left_out() -> None:
    soft = two_blobs()
    soft[9, 0] = 0.8
    large, small, speck = components(soft > 0.5, soft, least=0)
    assert (large.box, large.area) == ((2, 1, 8, 4), 18)
    assert (small.box, small.area) == ((8, 4, 10, 6), 4)
    assert (speck.box, speck.area) == ((0, 9, 1, 10), 1)
    assert [large.score, small.score, speck.score] == pytest.approx([0.6, 0.9, 0.8])
    assert components(soft > 0.5, soft, least=1 / soft.size) == (large, small, speck)
    assert components(soft > 0.5, soft, least=1.01 / soft.size) == (large, small)
    assert components(soft > 2, soft, least=0) == ()


def test_components_in_each_other_s_box_do_not_mix() -> None:
    soft = np.full((7, 7), 0.9, np.float32)
    soft[1:6, 1:6] = 0.1
    soft[3, 3] = 0.7
    ring, core = components(soft > 0.5, soft, least=0)
    assert (ring.box, ring.area, ring.score) == ((0, 0, 7, 7), 24, pytest.approx(0.9))
    assert (core.box, core.score) == ((3, 3, 4, 4), pytest.approx(0.7))
