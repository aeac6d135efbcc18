import numpy as np
import pytest

from dseg.method.cut.colour import ColourModel


def colour_evidence(image, foreground, bandwidth=8.0):
    return ColourModel(image, bandwidth).evidence(foreground)


def two_colours(seed=0):
    rng = np.random.default_rng(seed)
    truth = np.zeros((20, 30), bool)
    truth[5:15, 5:15] = True
    colours = np.where(truth[..., None], [200, 40, 40], [30, 120, 60])
    image = (colours + rng.normal(0, 6, truth.shape + (3,))).clip(0, 255).astype(np.uint8)
    return image, truth


def test_evidence_has_the_sign_of_the_object_even_from_a_rough_guess():
    image, truth = two_colours()
    guess = np.zeros(truth.shape)
    guess[3:12, 3:12] = 0.9  # covers half of the object and some of the rest
    evidence = colour_evidence(image, guess)
    assert ((evidence > 0) == truth).mean() > 0.99


def test_evidence_is_antisymmetric_and_limited():
    image, truth = two_colours()
    evidence = colour_evidence(image, truth)
    np.testing.assert_allclose(colour_evidence(image, ~truth), -evidence, atol=1e-9)
    assert np.abs(evidence).max() <= 3.0


def test_an_even_guess_gives_no_evidence():
    image, truth = two_colours()
    np.testing.assert_allclose(colour_evidence(image, np.full(truth.shape, 0.5)), 0, atol=1e-9)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_an_empty_side_gives_no_evidence(share):
    image, truth = two_colours()
    assert not colour_evidence(image, np.full(truth.shape, share)).any()


def test_a_pixel_is_no_witness_for_itself():
    # A colour that occurs once says nothing, whichever side its pixel was put on.
    image, truth = two_colours()
    image[10, 10] = [0, 0, 255]
    image[18, 28] = [255, 255, 0]
    evidence = colour_evidence(image, truth)
    assert truth[10, 10] and not truth[18, 28]
    assert abs(evidence[10, 10]) < 0.01 and abs(evidence[18, 28]) < 0.01


def test_colours_beyond_the_bandwidth_are_told_apart():
    truth = np.zeros((20, 20), bool)
    truth[:, :7] = True
    image = np.full((20, 20, 3), 100, np.uint8)
    image[truth] = 116
    near, far = (colour_evidence(image, truth, bandwidth)[0, 0] for bandwidth in (4.0, 64.0))
    assert near == pytest.approx(3.0) and 0 < far < 0.5
