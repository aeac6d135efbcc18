"""One image seen from inside: views of the affinity, nouns that a model knows."""

from pathlib import Path

import numpy as np
import pytest

from dseg.base_model.pipeline import load_pipeline
from dseg.errors import DsegError
from dseg.method.attention import AttentionPlan
from dseg.method.cut.affinity import Affinity, from_rows, similarity_edges
from dseg.method.cut.filter import Reason
from dseg.photos.inspection import (
    CLOSED,
    attend,
    attention_from,
    cell_at,
    check_noun,
    explain,
    imagine,
    known_nouns,
    locate,
    similarity_to,
    unknown_words,
)
from dseg.settings.reading import load_settings

pytest_plugins = ("tiny_pipeline",)
PLAN = AttentionPlan(cross_strides=(1, 2), affinity_stride=1, neighbours=16)


@pytest.fixture(scope="module")
def pipe(tiny_pipeline: Path):
    return load_pipeline(tiny_pipeline)


def affinity(height: int = 4, width: int = 6, kept: int = 8) -> Affinity:
    rows = np.random.default_rng(0).random((height * width, height * width)) ** 4
    indices = np.argsort(-rows, axis=1)[:, :kept]
    return from_rows(indices, np.take_along_axis(rows, indices, axis=1), height, width)


def test_attention_from_a_cell_is_its_row_of_the_power() -> None:
    over = affinity()
    matrix = over.matrix().toarray()
    for steps in (0, 1, 3):
        row = np.linalg.matrix_power(matrix, steps)[9]
        np.testing.assert_allclose(attention_from(over, 9, steps).ravel(), row, atol=1e-6)


def test_similarity_weighs_the_edges_of_the_cut() -> None:
    over = affinity()
    edges, weights = similarity_edges(over, neighbours=5, power=1.0)
    seen = np.array([similarity_to(over, int(i)).ravel()[j] for i, j in edges])
    np.testing.assert_allclose(seen / seen.mean(), weights, rtol=1e-4)
    everywhere = np.stack([similarity_to(over, cell).ravel() for cell in range(24)])
    np.testing.assert_allclose(everywhere, everywhere.T, atol=1e-6)
    np.testing.assert_allclose(np.diag(everywhere), 1, rtol=1e-5)


def test_looking_changes_no_affinity() -> None:
    over, before = affinity(), affinity()
    for cell in range(24):
        similarity_to(over, cell)
        attention_from(over, cell, 2)
    np.testing.assert_array_equal(over.indices, before.indices)
    np.testing.assert_array_equal(over.weights, before.weights)


def test_points_lie_in_cells() -> None:
    over = affinity(4, 6)
    corners = [(0.0, 0.0), (0.999, 0.0), (0.0, 0.999), (1.0, 1.0), (0.5, 0.5)]
    assert [cell_at(over, point) for point in corners] == [0, 5, 18, 23, 15]


def test_a_given_image_is_attended_to_at_the_models_size(pipe) -> None:
    image = np.random.default_rng(1).integers(0, 256, (50, 90, 3), np.uint8)
    seen = attend(pipe, image, "moon", fractions=[0.1, 0.4], seed=3, plan=PLAN)
    assert seen.image.shape == (32, 32, 3) and seen.noun == "moon"
    assert seen.attention.noun_map.shape == seen.attention.affinity.shape == (8, 8)
    x, y = seen.peak
    assert seen.attention.noun_map[int(y * 8), int(x * 8)] == seen.attention.noun_map.max()
    other = attend(pipe, image, "gift", fractions=[0.1, 0.4], seed=3, plan=PLAN)
    assert np.abs(other.attention.noun_map - seen.attention.noun_map).max() > 1e-3
    with pytest.raises(DsegError, match=r"float64 \(4, 4\): expected uint8 \(H, W, 3\)"):
        attend(pipe, np.zeros((4, 4)), "moon", fractions=[0.1], seed=3, plan=PLAN)


def test_a_prompt_becomes_an_image_by_its_seed(pipe) -> None:
    phrase = locate("a photo of a Moon on sand", ["moon"])
    first, again, other = (
        imagine(pipe, phrase, seed=seed, steps=4, guidance=2.0, window=(0.1, 0.9), plan=PLAN)
        for seed in (1, 1, 2)
    )
    assert first.noun == "Moon"
    np.testing.assert_array_equal(first.image, again.image)
    assert (first.image != other.image).any()


def test_the_noun_of_a_prompt_is_a_word_of_its_own() -> None:
    phrase = locate("a photo of fishes and a fish", ["key", "fish"])
    assert phrase.text[phrase.start : phrase.end] == "fish" and phrase.start == 24
    with pytest.raises(DsegError, match="has no noun to look for: expected key, moon"):
        locate("a photo of moonlight", ["key", "moon"])


def test_a_small_vocabulary_knows_its_words_only(pipe) -> None:
    tokenizer = pipe.tokenizer
    assert len(tokenizer) < CLOSED
    assert known_nouns(tokenizer, ["moon", "zebra", "gift"]) == ("moon", "gift", "object")
    assert unknown_words(tokenizer, "a photo of a zebra, on grass.") == ["zebra"]
    check_noun(tokenizer, "moon", ["moon"])
    with pytest.raises(DsegError, match="no word 'zebra', .* expected one of moon, gift"):
        check_noun(tokenizer, "zebra", ["moon", "gift"])
    with pytest.raises(DsegError, match="no noun"):
        check_noun(tokenizer, "  ", ["moon"])


def test_reasons_name_the_setting_s_value(root: Path) -> None:
    settings = load_settings(root / "params.yaml").attentioncut
    changed = settings.model_copy(update={"area": (0.05, 0.7), "border": 0.25, "focus": 1.5})
    said = {reason: explain(reason, changed) for reason in Reason}
    assert said[Reason.KEPT] == ""
    for reason, value in (
        (Reason.TOO_SMALL, "5%"),
        (Reason.TOO_LARGE, "70%"),
        (Reason.BORDER, "25%"),
        (Reason.UNFOCUSED, "1.5 times"),
    ):
        assert value in said[reason]
