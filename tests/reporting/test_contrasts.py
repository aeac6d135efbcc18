"""Contrasts follow from the settings: with a variant more, a claim rests on more."""

import pytest
from finished_run import settings_of
from made_up_scores import made_up_scores

from dseg.reporting.contrasts import contrasts_of

VARIANTS = {"head": {}, "rgb": {"head": {"input": "rgb"}}}


@pytest.fixture
def labels(tmp_path):
    def labels(claim, **variants):
        settings = settings_of(tmp_path, {"test": 8}, 60, variants=VARIANTS | variants)
        scores = made_up_scores(settings)
        pairs = {name: scores.pairs(settings.variant(name)[1]) for name in settings.variants}
        return [each.label for each in contrasts_of(settings, pairs)[claim][1]]

    return labels


def test_inversion_is_held_against_noise_of_the_same_timesteps(labels):
    noise, late = {"source": "noise"}, {"timesteps": [0.3]}
    assert labels("inversion-beats-noise") == []
    assert labels("inversion-beats-noise", noise={"features": noise}) == [
        "inverted minus noised, t = 0.1"
    ]
    both = labels(
        "inversion-beats-noise",
        noise={"features": noise},
        late={"features": late},
        twin={"features": noise | late},
        alone={"features": {"source": "noise", "timesteps": [0.5]}},
    )
    assert both == ["inverted minus noised, t = 0.1", "inverted minus noised, t = 0.3"]


def test_more_pairs_are_held_against_half_and_against_the_fewest(labels):
    numbers = {f"pairs-{count}": {"head": {"pairs": count}} for count in (8, 20, 30)}
    assert labels("more-data-helps") == []
    assert labels("more-data-helps", **numbers) == ["40 pairs minus 20", "40 pairs minus 8"]
    assert labels("more-data-helps", few={"head": {"pairs": 8}}) == ["40 pairs minus 8"]


def test_parts_are_what_a_run_leaves_out(labels):
    few = labels("each-part-contributes")
    assert "head minus RGB network" in few and "head minus the same on clean latents" not in few
    more = labels(
        "each-part-contributes",
        clean={"features": {"source": "clean", "timesteps": [0.0]}},
        unfiltered={"head": {"filter": False}},
        untrained={"features": {"weights": "random", "source": "noise"}},
        otsu={"head": {"masks": "otsu"}},
    )
    assert {*more} - {*few} == {
        "head minus the same on clean latents",
        "head minus the same without the mask filter",
        "head minus the same on an untrained U-Net",
    }
