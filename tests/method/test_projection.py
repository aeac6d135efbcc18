"""Principal components of feature maps, and a head that no longer knows of them."""

import pytest
import torch

from dseg.errors import DsegError
from dseg.method.head import Architecture, build
from dseg.method.projection import fit_projection, fold

CHANNELS = (12, 6)


@pytest.fixture
def maps() -> tuple[torch.Tensor, ...]:
    """Maps at two strides whose channels differ in scale and hang together."""
    generator = torch.Generator().manual_seed(0)
    mixed = []
    for channels, side in zip(CHANNELS, (8, 4), strict=True):
        sources = torch.randn(10, 5, side, side, generator=generator)
        mix = torch.randn(channels, 5, generator=generator)
        values = torch.einsum("cs,nshw->nchw", mix, sources)
        values = values + 0.01 * torch.randn(values.shape, generator=generator)
        scale = torch.logspace(-1, 2, channels)[:, None, None]
        mixed.append(values * scale + 3 * scale)
    return tuple(mixed)


def test_components_are_uncorrelated_and_in_order(maps: tuple[torch.Tensor, ...]) -> None:
    projection = fit_projection(maps[0].split(3), 7)
    basis = projection.basis
    torch.testing.assert_close(basis @ basis.T, torch.eye(7), atol=1e-5, rtol=0)
    seen = projection.apply(maps[0]).transpose(0, 1).flatten(1)
    torch.testing.assert_close(seen.mean(1), torch.zeros(7), atol=1e-4, rtol=0)
    covariance = torch.cov(seen)
    assert (covariance.diagonal().diff() < 1e-4).all()
    off = covariance - torch.diag(covariance.diagonal())
    assert off.abs().max() < 1e-2 * covariance.diagonal()[0]
    # Five sources mix to twelve channels: the first five components hold all but the noise.
    assert covariance.diagonal()[:5].sum() > 0.98 * len(projection.mean)


def test_batches_do_not_matter(maps: tuple[torch.Tensor, ...]) -> None:
    whole, parts = (fit_projection(maps[1].split(size), 3) for size in (10, 4))
    torch.testing.assert_close(whole.mean, parts.mean)
    torch.testing.assert_close(
        whole.apply(maps[1]).abs(), parts.apply(maps[1]).abs(), rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize("components", [3, 100])
def test_a_folded_head_computes_from_channels_what_it_did_from_components(
    maps: tuple[torch.Tensor, ...], components: int
) -> None:
    projections = [fit_projection([values], components) for values in maps]
    seen = [p.apply(values) for p, values in zip(projections, maps, strict=True)]
    kept = tuple(values.shape[1] for values in seen)
    assert kept == tuple(min(components, channels) for channels in CHANNELS)
    image = torch.rand(10, 3, 16, 16) * 255
    head = build(Architecture("features", kept, True, 8, (16, 16)), seed=1)
    for standard, values in zip(head.standards, (*seen, image), strict=True):
        standard.fit(values, torch.arange(10))
    expected = head(*seen, image)
    state = head.state_dict()
    for index, projection in enumerate(projections):
        state = fold(state, index, projection)
    whole = build(Architecture("features", CHANNELS, True, 8, (16, 16)))
    whole.load_state_dict(state)
    torch.testing.assert_close(whole(*maps, image), expected, atol=2e-4, rtol=2e-4)


def test_nothing_to_fit_is_an_error() -> None:
    with pytest.raises(DsegError, match="expected at least one"):
        fit_projection([], 3)
