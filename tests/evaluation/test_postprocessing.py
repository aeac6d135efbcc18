"""Post-processings and modes: what each makes of a soft mask."""

import numpy as np
import pytest
from attention_scene import SETTINGS

from dseg.errors import DsegError
from dseg.evaluation.bilateral import bilateral_grid, solve
from dseg.evaluation.boxes import select_component
from dseg.evaluation.postprocessing import MODES, POSTPROCESSING, keep_if_close, scored_maps
from dseg.method.cut.attentioncut import pixel_cut
from dseg.settings.masks import AttentionCutSettings

SHAPE = (48, 64)
CUT = AttentionCutSettings(**SETTINGS)


def scene() -> tuple[np.ndarray, np.ndarray]:
    """A soft mask with a large and a small blob, on an image where both are visible."""
    soft = np.full(SHAPE, 0.2, np.float32)
    soft[8:40, 4:28] = 0.8
    soft[16:32, 44:60] = 0.7
    image = np.full((*SHAPE, 3), 40, np.uint8)
    image[8:40, 4:28] = (200, 60, 60)
    image[16:32, 44:60] = (60, 60, 200)
    return soft, image


def every(soft: np.ndarray, image: np.ndarray) -> dict[tuple[str, str], np.ndarray]:
    return scored_maps(soft, image, postprocessing=POSTPROCESSING, modes=MODES, cut=CUT)


def test_every_combination_is_a_map_of_the_same_size() -> None:
    maps = every(*scene())
    assert list(maps) == [(name, mode) for name in POSTPROCESSING for mode in MODES]
    assert all(each.shape == SHAPE for each in maps.values())
    assert all(each.dtype == bool for (_, mode), each in maps.items() if mode == "single")


def test_multi_without_postprocessing_is_the_map_itself() -> None:
    soft, _ = scene()
    assert scored_maps(soft)[("none", "multi")] is soft


def test_single_keeps_the_largest_component_of_the_mask() -> None:
    soft, image = scene()
    large = np.zeros(SHAPE, bool)
    large[8:40, 4:28] = True
    maps = every(soft, image)
    assert np.array_equal(maps["none", "single"], large)
    assert np.array_equal(maps["bilateral-tokencut", "single"], large)
    grey = np.round(soft * 255).astype(np.uint8)
    assert np.array_equal(scored_maps(grey, modes=["single"])["none", "single"], large)
    higher = scored_maps(1 - soft, modes=["single"], threshold=0.25)["none", "single"]
    assert np.array_equal(higher, select_component(1 - soft > 0.25, "largest"))


def test_tokencuts_is_the_solvers_soft_result_on_the_binary_mask() -> None:
    soft, image = scene()
    soft[8:12] = 0.2  # short of the blob's edge
    solved = solve(soft > 0.5, bilateral_grid(image))
    assert np.array_equal(every(soft, image)["bilateral-tokencut", "multi"], solved)
    assert len(np.unique(solved)) > 2


def test_the_cut_is_that_of_the_soft_mask() -> None:
    soft, image = scene()
    soft[8:12] = 0.4  # short of the blob's edge
    cut = pixel_cut(soft, image, CUT)
    maps = every(soft, image)
    assert np.array_equal(maps["cut", "multi"], cut) and len(np.unique(cut)) > 2
    assert np.array_equal(maps["cut", "single"], select_component(cut > 0.5, "largest"))
    assert (cut > 0.5)[8:12, 6:26].all()  # the edge that the image has
    assert np.array_equal(maps["none", "multi"], soft)
    alone = scored_maps(soft, image, postprocessing=["cut"], cut=CUT, threshold=0.3)
    assert np.array_equal(alone["cut", "multi"], cut)  # its threshold is one half


@pytest.mark.parametrize("kind", [bool, np.uint8])
def test_masks_of_bytes_and_of_truths_are_cut_as_what_they_say(kind: type) -> None:
    soft, image = scene()
    given = soft > 0.5 if kind is bool else np.round(255 * soft).astype(np.uint8)
    said = given.astype(np.float32) / (1 if kind is bool else 255)
    found = scored_maps(given, image, postprocessing=["cut"], cut=CUT)["cut", "multi"]
    np.testing.assert_allclose(found, pixel_cut(said, image, CUT), atol=1e-6)


def test_founds_is_binary_with_holes_filled_and_close_to_the_mask() -> None:
    soft, image = scene()
    soft[20:24, 12:16] = 0  # a hole in the mask, which the image does not have
    kept = every(soft, image)["bilateral-found", "multi"]
    assert kept.dtype == bool and kept[20:24, 12:16].all()
    assert np.array_equal(kept, scene()[0] > 0.5)


def test_founds_keeps_the_mask_where_the_solver_lost_it() -> None:
    soft, _ = scene()
    blank = np.full((*SHAPE, 3), 128, np.uint8)
    maps = every(soft, blank)
    assert not (maps["bilateral-tokencut", "multi"] > 0.5).any()
    for mode in MODES:
        assert np.array_equal(maps["bilateral-found", mode], soft > 0.5)


def test_founds_single_must_be_close_to_the_whole_mask() -> None:
    mask = np.zeros(SHAPE, bool)
    mask[:20, :20] = True
    mask[30:48, 30:60] = True
    # The larger component is 540 of 940 pixels, IoU .57: close. With equals it would not be.
    assert np.array_equal(keep_if_close(mask, mask.astype(float), "single"),
                          select_component(mask, "largest"))  # fmt: skip
    equal = np.zeros(SHAPE, bool)
    equal[:20, :20] = equal[25:45, 40:60] = True
    assert np.array_equal(keep_if_close(equal, equal.astype(float), "single"), equal)


@pytest.mark.parametrize("mode", MODES)
def test_founds_takes_the_largest_label_for_the_background(mode: str) -> None:
    mask = np.zeros(SHAPE, bool)
    mask[2:46, 2:62] = True  # larger than what is around it
    solved = mask.astype(float)
    solved[2:6] = 0  # an outline that would be kept otherwise
    assert np.array_equal(keep_if_close(mask, solved, mode), mask)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_empty_and_full_masks_stay(mode: str, value: float) -> None:
    soft = np.full(SHAPE, value, np.float32)
    maps = every(soft, scene()[1])
    for name in POSTPROCESSING:
        # The cut's soft result is never quite sure.
        np.testing.assert_allclose(maps[name, mode], value, atol=0.02 if name == "cut" else 1e-5)


def test_bad_requests_say_what_is_expected() -> None:
    soft, image = scene()
    with pytest.raises(DsegError, match="'crf': expected none, cut, bilateral-tokencut"):
        scored_maps(soft, image, postprocessing=["crf"])
    with pytest.raises(DsegError, match="'largest': expected multi, single"):
        scored_maps(soft, image, modes=["largest"])
    with pytest.raises(DsegError, match="needs the image"):
        scored_maps(soft, postprocessing=["bilateral-found"])
    with pytest.raises(DsegError, match="needs the image"):
        scored_maps(soft, postprocessing=["cut"], cut=CUT)
    with pytest.raises(DsegError, match="cut needs settings: the section attentioncut"):
        scored_maps(soft, image, postprocessing=["cut"])
    with pytest.raises(DsegError, match="expected one size"):
        scored_maps(soft, image[1:], postprocessing=["cut"], cut=CUT)
