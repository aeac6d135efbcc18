"""The head learns, repeats itself bit by bit, and keeps its best epoch."""

import math

import pytest
import torch
from torch import Tensor

from dseg.errors import DsegError
from dseg.method.head import (
    LOSSES,
    Architecture,
    build,
    iou,
    predict,
    train,
)

SIZE = 32
FEATURES = Architecture("features", (6, 10), True, 16, (SIZE, SIZE))
NO_PIXELS = Architecture("features", (6, 10), False, 16, (SIZE, SIZE))
LINEAR = Architecture("features", (6, 10), True, 16, (SIZE, SIZE), "linear")
CONV = Architecture("features", (6, 10), True, 16, (SIZE, SIZE), "conv")
RGB = Architecture("rgb", (), True, 16, (SIZE, SIZE))
OPTIONS = {"epochs": 8, "batch_size": 8, "learning_rate": 1e-2, "validation_fraction": 0.2}


def discs(count: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Two coarse feature maps that half know where a disc is, its noisy image, and its mask."""
    generator = torch.Generator().manual_seed(seed)
    centres = 8 + 16 * torch.rand(count, 2, generator=generator)
    radii = 4 + 4 * torch.rand(count, generator=generator)
    y, x = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    squared = (y - centres[:, :1, None]) ** 2 + (x - centres[:, 1:, None]) ** 2
    masks = squared < radii[:, None, None] ** 2

    def features(channels: int, side: int) -> Tensor:
        coarse = torch.nn.functional.adaptive_avg_pool2d(masks[:, None].float(), side)
        signs = torch.randn(1, channels, 1, 1, generator=torch.Generator().manual_seed(channels))
        noise = torch.randn(count, channels, side, side, generator=generator)
        # Channels of very different scale and offset, as those of a U-Net are.
        scale = 10.0 ** torch.linspace(-2, 2, channels)[:, None, None]
        return ((coarse * signs + 0.3 * noise + 3) * scale).half()

    noise = 20 * torch.randn(count, 3, SIZE, SIZE, generator=generator)
    images = (80 + 90 * masks[:, None] + noise).clamp(0, 255).to(torch.uint8)
    return features(6, 8), features(10, 4), images, masks


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Operations this small only lose time on several threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


PAIRS = discs(60)
TEST = discs(30, seed=1)


def of(architecture: Architecture, data: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The inputs that a network of this kind reads."""
    fine, coarse, images, _ = data
    maps = () if architecture.input == "rgb" else (fine, coarse)
    return (*maps, images) if architecture.reads_image else maps


def trained(architecture: Architecture, seed: int = 0, **changes):
    network = build(architecture, seed)
    state, curve = train(
        network, of(architecture, PAIRS), PAIRS[3], seed=seed, **{**OPTIONS, **changes}
    )
    return network, state, curve


def mean_iou(network, architecture: Architecture) -> float:
    return float(iou(predict(network, of(architecture, TEST)) > 0.5, TEST[3]).mean())


@pytest.mark.parametrize("architecture", [FEATURES, RGB], ids=["features", "rgb"])
def test_learns_a_toy_problem(architecture):
    network, _, curve = trained(architecture, epochs=20)
    assert mean_iou(network, architecture) > 0.9
    assert curve[-1].loss < curve[0].loss / 2
    assert [row.epoch for row in curve] == list(range(1, 21))


def test_layers_on_the_grid_bring_more_than_a_linear_map():
    linear, conv = (trained(architecture, epochs=20)[0] for architecture in (LINEAR, CONV))
    assert 0.5 < mean_iou(linear, LINEAR) < mean_iou(conv, CONV) - 0.02


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_trains(name):
    network, _, _ = trained(CONV, epochs=20, criterion=LOSSES[name])
    assert mean_iou(network, CONV) > 0.6


def test_pixels_sharpen_boundaries():
    without, _, _ = trained(NO_PIXELS, epochs=20)
    with_pixels, _, _ = trained(FEATURES, epochs=20)
    assert mean_iou(with_pixels, FEATURES) > mean_iou(without, NO_PIXELS) + 0.03


def test_a_seed_gives_the_same_bits():
    torch.manual_seed(1)
    _, first, curve = trained(FEATURES, seed=3, epochs=3)
    torch.manual_seed(2)  # the global generator has no say
    _, again, same_curve = trained(FEATURES, seed=3, epochs=3)
    _, other, _ = trained(FEATURES, seed=4, epochs=3)
    assert curve == same_curve
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["fuse.2.0.weight"], other["fuse.2.0.weight"])


def test_training_leaves_the_process_as_it_was():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    trained(RGB, epochs=1)
    assert torch.equal(torch.rand(1), expected)
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.utils.deterministic.fill_uninitialized_memory
    with pytest.raises(DsegError):
        trained(RGB, epochs=1, learning_rate=1e30)
    assert not torch.are_deterministic_algorithms_enabled()


def test_the_best_epoch_is_kept_and_not_the_last():
    """Held-out masks are the opposite of those to learn, so learning makes validation worse.

    At first the network says foreground everywhere, which at least covers the held-out discs.
    """
    held_out = torch.randperm(60, generator=torch.Generator().manual_seed(0))[:12]
    masks = ~PAIRS[3]
    masks[held_out] = PAIRS[3][held_out]
    inputs = of(FEATURES, PAIRS)
    network = build(FEATURES)
    options = {**OPTIONS, "epochs": 6, "learning_rate": 1e-3}
    state, curve = train(network, inputs, masks, seed=0, **options)
    scores = [row.validation_iou for row in curve]
    assert max(scores) > scores[-1] + 0.05

    fresh = build(FEATURES, seed=9)
    fresh.load_state_dict(state)
    soft = predict(fresh, [values[held_out] for values in inputs])
    assert float(iou(soft > 0.5, masks[held_out]).mean()) == pytest.approx(max(scores), abs=1e-6)
    assert torch.equal(predict(network, inputs), predict(fresh, inputs))


def test_without_validation_the_last_epoch_is_kept():
    _, state, curve = trained(RGB, epochs=2, validation_fraction=0.0)
    assert all(math.isnan(row.validation_iou) for row in curve)
    network = build(RGB)
    network.load_state_dict(state)
    assert math.isfinite(float(predict(network, of(RGB, TEST)).sum()))


def test_statistics_make_the_scale_of_features_irrelevant():
    inputs = of(FEATURES, PAIRS)
    scaled = (inputs[0].double() * 1000 - 5, inputs[1].double() * 0.001, inputs[2])
    results = []
    for values in (inputs, scaled):
        network = build(FEATURES)
        train(network, values, PAIRS[3], seed=0, **{**OPTIONS, "epochs": 2})
        results.append(predict(network, values))
    torch.testing.assert_close(results[0], results[1], atol=0.02, rtol=0)


def test_soft_masks_do_not_depend_on_the_batch():
    network, _, _ = trained(FEATURES, epochs=1)
    inputs = of(FEATURES, TEST)
    soft = predict(network, inputs)
    assert soft.dtype == torch.float32 and soft.shape == (30, SIZE, SIZE)
    assert 0 <= float(soft.min()) and float(soft.max()) <= 1
    torch.testing.assert_close(predict(network, inputs, batch_size=7), soft, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", LOSSES)
def test_loss_rewards_agreement(name):
    target, loss = TEST[3][:4], LOSSES[name]
    right = torch.where(target, 20.0, -20.0)
    assert float(loss(right, target)) < 1e-3
    assert float(loss(-right, target)) > 0.9
    assert float(loss(torch.zeros_like(right), target)) > float(loss(0.1 * right, target))
    empty = torch.zeros(1, 4, 4, dtype=torch.bool)
    assert float(loss(torch.full((1, 4, 4), -20.0), empty)) < 1e-3


def test_iou_by_hand():
    a = torch.tensor([[[True, True], [False, False]], [[False, False], [False, False]]])
    b = torch.tensor([[[True, False], [True, False]], [[False, False], [False, False]]])
    assert iou(a, b).tolist() == pytest.approx([1 / 3, 1.0])


def test_bad_requests_are_errors():
    with pytest.raises(DsegError, match="rows"):
        train(build(RGB), (PAIRS[2],), PAIRS[3][:5], seed=0, **OPTIONS)
    with pytest.raises(DsegError, match="at least 2"):
        train(build(RGB), (PAIRS[2][:1],), PAIRS[3][:1], seed=0, **OPTIONS)
    with pytest.raises(DsegError, match=r"lower head\.learning_rate"):
        trained(RGB, epochs=2, learning_rate=1e30)
