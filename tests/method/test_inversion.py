"""Inversion against analytic solutions of the ODE and against diffusers' schedulers."""

import math

import pytest
import torch
from diffusers import DDIMInverseScheduler, DDIMScheduler
from torch import Tensor

from dseg.errors import DsegError
from dseg.method.inversion import (
    PREDICTION_TYPES,
    Denoiser,
    ddim_step,
    grid,
    invert,
    noise_to,
    regenerate,
    snap,
    split,
)

TRAIN_TIMESTEPS = 1000
SCHEDULER = {
    "num_train_timesteps": TRAIN_TIMESTEPS,
    "beta_schedule": "squaredcos_cap_v2",
    "clip_sample": False,
    "set_alpha_to_one": False,
}
ALPHAS = DDIMScheduler(**SCHEDULER).alphas_cumprod
MEAN, DEVIATION = 0.7, 0.4  # of the Gaussian "data"


def as_prediction(sample: Tensor, clean: Tensor, alpha: float, prediction_type: str) -> Tensor:
    """The output of a network of that type which believes in this clean sample."""
    noise = (sample - alpha**0.5 * clean) / (1 - alpha) ** 0.5
    return {
        "epsilon": noise,
        "sample": clean,
        "v_prediction": alpha**0.5 * noise - (1 - alpha) ** 0.5 * clean,
    }[prediction_type]


def gaussian_denoiser(prediction_type: str):
    """The optimal network for data drawn from N(MEAN, DEVIATION^2): the posterior mean."""

    def denoise(sample: Tensor, timestep: int) -> Tensor:
        alpha = float(ALPHAS[timestep])
        gain = alpha**0.5 * DEVIATION**2 / (alpha * DEVIATION**2 + 1 - alpha)
        clean = MEAN + gain * (sample - alpha**0.5 * MEAN)
        return as_prediction(sample, clean, alpha, prediction_type)

    return denoise


def gaussian_flow(sample: Tensor, start: int, end: int) -> Tensor:
    """Analytic solution of the ODE for Gaussian data: standardised samples do not move."""

    def moments(timestep: int) -> tuple[float, float]:
        alpha = float(ALPHAS[timestep])
        return alpha**0.5 * MEAN, math.sqrt(alpha * DEVIATION**2 + 1 - alpha)

    mean, deviation = moments(start)
    other_mean, other_deviation = moments(end)
    return other_mean + (sample - mean) / deviation * other_deviation


def data(items: int = 8) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return MEAN + DEVIATION * torch.randn(items, 2, 3, 3, generator=generator)


def sample_back(denoise, latents: Tensor, timesteps, start: int, prediction_type: str) -> Tensor:
    """Ordinary DDIM sampling down the grid from ``start``."""
    return regenerate(Denoiser(denoise, ALPHAS, timesteps, prediction_type), latents, start=start)


@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
def test_split_recovers_what_was_mixed(prediction_type):
    clean, noise = data(), torch.randn(8, 2, 3, 3)
    for alpha in (0.999, 0.5, 0.01):
        sample = alpha**0.5 * clean + (1 - alpha) ** 0.5 * noise
        output = as_prediction(sample, clean, alpha, prediction_type)
        got_clean, got_noise = split(sample, output, alpha, prediction_type)
        torch.testing.assert_close(got_clean, clean, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(got_noise, noise, atol=1e-4, rtol=1e-4)


def test_v_prediction_covers_both_ends_of_the_schedule():
    """Zero terminal signal-to-noise is why that parametrisation exists."""
    sample, velocity = data(), torch.randn(8, 2, 3, 3)
    torch.testing.assert_close(ddim_step(sample, velocity, 0.0, 1.0, "v_prediction"), -velocity)
    torch.testing.assert_close(ddim_step(sample, velocity, 1.0, 0.0, "v_prediction"), velocity)


def test_undefined_splits_are_errors():
    sample = data()
    with pytest.raises(DsegError, match="alpha 0"):
        split(sample, sample, 0.0, "epsilon")
    with pytest.raises(DsegError, match="alpha 1"):
        split(sample, sample, 1.0, "sample")
    with pytest.raises(DsegError, match="expected one of epsilon"):
        split(sample, sample, 0.5, "velocity")
    with pytest.raises(DsegError, match=r"\[0, 1\]"):
        split(sample, sample, 1.5, "epsilon")


def test_more_steps_than_the_model_was_trained_with_are_refused():
    with pytest.raises(DsegError, match=r"inversion\.steps: 1001, expected 1 to 1000"):
        grid(1001, 1000)


def test_a_constant_noise_field_is_inverted_exactly():
    noise = torch.randn(1, 2, 3, 3)
    timesteps = grid(7, TRAIN_TIMESTEPS)
    latents = data()
    end = timesteps[5]
    states = invert(
        Denoiser(lambda sample, timestep: noise.expand_as(sample), ALPHAS, timesteps, "epsilon"),
        latents,
        chosen=[end],
    )
    start_alpha, end_alpha = float(ALPHAS[0]), float(ALPHAS[end])
    clean = (latents - (1 - start_alpha) ** 0.5 * noise) / start_alpha**0.5
    expected = end_alpha**0.5 * clean + (1 - end_alpha) ** 0.5 * noise
    torch.testing.assert_close(states[0], expected, atol=1e-5, rtol=1e-5)
    back = sample_back(lambda s, t: noise.expand_as(s), states[0], timesteps, end, "epsilon")
    torch.testing.assert_close(back, latents, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
def test_gaussian_data_follow_the_analytic_flow(prediction_type):
    """First order: ten times the steps, about a tenth of the error."""
    latents, denoise, end = data(), gaussian_denoiser(prediction_type), 600
    expected = gaussian_flow(latents, 0, end)

    def error(steps: int) -> float:
        timesteps = grid(steps, TRAIN_TIMESTEPS)
        states = invert(
            Denoiser(denoise, ALPHAS, timesteps, prediction_type), latents, chosen=[end]
        )
        return float((states[0] - expected).abs().max())

    coarse, fine = error(20), error(200)
    assert coarse < 0.3  # the data's deviation is 0.4, the spread at this level 0.9
    assert 5 < coarse / fine < 20


def test_prediction_types_describe_one_trajectory():
    timesteps = grid(20, TRAIN_TIMESTEPS)
    states = [
        invert(Denoiser(gaussian_denoiser(kind), ALPHAS, timesteps, kind), data(), chosen=[300])
        for kind in PREDICTION_TYPES
    ]
    torch.testing.assert_close(states[0], states[1], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(states[0], states[2], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
def test_round_trip_improves_with_steps_and_with_fixed_point_iterations(prediction_type):
    latents, denoise, end = data(), gaussian_denoiser(prediction_type), 600

    def error(steps: int, fixed_point: int) -> float:
        timesteps = grid(steps, TRAIN_TIMESTEPS)
        states = invert(
            Denoiser(denoise, ALPHAS, timesteps, prediction_type),
            latents,
            chosen=[end],
            fixed_point=fixed_point,
        )
        back = sample_back(denoise, states[0], timesteps, end, prediction_type)
        return float((back - latents).abs().max())

    assert error(200, 0) < error(50, 0) / 2 < error(20, 0) / 2
    assert error(20, 2) < error(20, 1) < error(20, 0)
    assert error(20, 30) < 1e-4


def test_chosen_timesteps_keep_their_order_and_0_is_the_image_itself():
    timesteps, latents = grid(20, TRAIN_TIMESTEPS), data()
    asked: list[int] = []

    def denoise(sample: Tensor, timestep: int) -> Tensor:
        asked.append(timestep)
        return gaussian_denoiser("epsilon")(sample, timestep)

    states = invert(Denoiser(denoise, ALPHAS, timesteps, "epsilon"), latents, chosen=[100, 0, 50])
    assert states.shape == (3, *latents.shape)
    assert torch.equal(states[1], latents)
    assert asked == [0, 50], "nothing is computed past the last timestep wanted"
    single = invert(Denoiser(denoise, ALPHAS, timesteps, "epsilon"), latents[:1], chosen=[50])
    torch.testing.assert_close(single[0], states[2][:1])


def test_regenerating_gaussian_data_follows_the_analytic_flow():
    timesteps, latents = grid(200, TRAIN_TIMESTEPS), data()
    start = gaussian_flow(latents, 0, 300)
    denoise = gaussian_denoiser("v_prediction")
    back = sample_back(denoise, start, timesteps, 300, "v_prediction")
    torch.testing.assert_close(back, latents, atol=0.02, rtol=0)
    assert torch.equal(sample_back(denoise, start, timesteps, 0, "v_prediction"), start)
    with pytest.raises(DsegError, match="timestep 301: expected one of the grid"):
        sample_back(denoise, start, timesteps, 301, "v_prediction")


def test_bad_grids_are_errors():
    denoise = gaussian_denoiser("epsilon")
    with pytest.raises(DsegError, match="on the grid"):
        invert(Denoiser(denoise, ALPHAS, grid(20, TRAIN_TIMESTEPS), "epsilon"), data(), chosen=[99])
    with pytest.raises(DsegError, match="at least one"):
        invert(Denoiser(denoise, ALPHAS, grid(20, TRAIN_TIMESTEPS), "epsilon"), data(), chosen=[])
    with pytest.raises(DsegError, match="ascending"):
        invert(Denoiser(denoise, ALPHAS, [0, 20, 10], "epsilon"), data(), chosen=[10])


@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
def test_a_step_down_is_that_of_diffusers(prediction_type):
    scheduler = DDIMScheduler(**SCHEDULER, prediction_type=prediction_type)
    scheduler.set_timesteps(20)
    sample, output = data(), torch.randn(8, 2, 3, 3)
    for timestep in (50, 400, 900):
        expected = scheduler.step(output, timestep, sample, eta=0.0).prev_sample
        mine = ddim_step(
            sample, output, float(ALPHAS[timestep]), float(ALPHAS[timestep - 50]), prediction_type
        )
        torch.testing.assert_close(mine, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
def test_a_step_up_is_that_of_diffusers(prediction_type):
    """The algebra agrees: their step at timestep u goes from u - 50 to u.

    Built with from_config: the inverse scheduler's own defaults clip the clean sample and use
    linear betas, whatever the model was trained with.
    """
    base = DDIMScheduler(**SCHEDULER, prediction_type=prediction_type)
    scheduler = DDIMInverseScheduler.from_config(base.config)
    scheduler.set_timesteps(20)
    sample, output = data(), torch.randn(8, 2, 3, 3)
    for timestep in (50, 400, 900):
        expected = scheduler.step(output, timestep, sample).prev_sample
        mine = ddim_step(
            sample, output, float(ALPHAS[timestep - 50]), float(ALPHAS[timestep]), prediction_type
        )
        torch.testing.assert_close(mine, expected, atol=1e-4, rtol=1e-4)


def test_one_fixed_point_iteration_is_the_whole_inversion_of_diffusers():
    """For an epsilon model, from timestep 0 on: their first step, from "before 0", is not ours.

    The Euler steps of the default differ from theirs on a coarse grid and agree in the limit.
    """
    end, latents, denoise = 600, data(), gaussian_denoiser("epsilon")

    def trajectories(steps: int) -> tuple[Tensor, Tensor, Tensor]:
        scheduler = DDIMInverseScheduler.from_config(DDIMScheduler(**SCHEDULER).config)
        scheduler.set_timesteps(steps)
        theirs = latents
        for timestep in scheduler.timesteps[1:]:
            if timestep <= end:
                output = denoise(theirs, int(timestep))
                theirs = scheduler.step(output, int(timestep), theirs).prev_sample
        euler, iterated = (
            invert(
                Denoiser(denoise, ALPHAS, grid(steps, TRAIN_TIMESTEPS), "epsilon"),
                latents,
                chosen=[end],
                fixed_point=fixed_point,
            )[0]
            for fixed_point in (0, 1)
        )
        return theirs, euler, iterated

    theirs, coarse_euler, iterated = trajectories(20)
    torch.testing.assert_close(iterated, theirs, atol=1e-5, rtol=1e-5)
    gap = float((coarse_euler - theirs).abs().max())
    theirs, fine_euler, iterated = trajectories(500)
    torch.testing.assert_close(iterated, theirs, atol=1e-4, rtol=1e-4)
    assert float((fine_euler - theirs).abs().max()) < gap / 10
    torch.testing.assert_close(theirs, gaussian_flow(latents, 0, end), atol=0.01, rtol=0)


def test_noise_depends_on_the_seed_of_the_item_alone():
    latents = data(3)
    together = noise_to(latents, 0.5, [7, 8, 9])
    alone = noise_to(latents[1:2], 0.5, [8])
    assert torch.equal(together[1:2], alone)
    assert not torch.equal(noise_to(latents[1:2], 0.5, [9]), alone)
    noise = (together - 0.5**0.5 * latents) / 0.5**0.5
    other = (noise_to(latents, 0.1, [7, 8, 9]) - 0.1**0.5 * latents) / 0.9**0.5
    torch.testing.assert_close(noise, other, atol=1e-5, rtol=1e-5)


def test_noise_has_the_variance_of_its_level():
    latents = torch.zeros(16, 4, 16, 16)
    for alpha in (1.0, 0.6, 0.0):
        noised = noise_to(latents, alpha, range(16))
        assert float(noised.var()) == pytest.approx(1 - alpha, abs=0.05)
    with pytest.raises(DsegError, match="seeds"):
        noise_to(latents, 0.5, [1])


def test_fractions_snap_to_the_grid():
    assert grid(4, 1000) == (0, 250, 500, 750)
    assert grid(3, 1000) == (0, 333, 667)
    assert [snap(f, 50, 1000) for f in (0.0, 0.1, 0.3, 0.105, 1.0)] == [0, 100, 300, 100, 980]
    assert snap(0.5, 1, 1000) == 0
    assert all(snap(t / 1000, 1000, 1000) == t for t in (0, 1, 499, 999))
    for bad in (-0.1, 1.1):
        with pytest.raises(DsegError, match="fraction"):
            snap(bad, 50, 1000)
    for steps in (0, 1001):
        with pytest.raises(DsegError, match=r"inversion\.steps"):
            grid(steps, 1000)
