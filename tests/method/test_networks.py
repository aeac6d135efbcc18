"""Networks take the sizes they are given, and count as many parameters as is said of them."""

import pytest
import torch

from dseg.errors import DsegError
from dseg.method.networks import Architecture, Standardise, build, parameter_count

SIZE = 32


def test_statistics_are_of_the_training_pairs_alone():
    values = torch.cat([torch.randn(50, 3, 4, 4) * 5 + 2, torch.full((10, 3, 4, 4), 1e4)])
    values[:, 2] = 7.0
    standard = Standardise(3)
    standard.fit(values.half(), torch.arange(50))
    result = standard(values.half()[:50])
    assert result.dtype == torch.float32
    torch.testing.assert_close(result.mean((0, 2, 3)), torch.zeros(3), atol=1e-3, rtol=0)
    torch.testing.assert_close(
        result.std((0, 2, 3)), torch.tensor([1.0, 1.0, 0.0]), atol=1e-2, rtol=0
    )


def test_sizes_that_are_no_power_of_two():
    architecture = Architecture("features", (5, 3), True, 8, (30, 44))
    network = build(architecture)
    inputs = (torch.randn(2, 5, 4, 6), torch.randn(2, 3, 7, 11), torch.zeros(2, 3, 30, 44))
    assert network(*inputs).shape == (2, 30, 44)
    for kind in ("linear", "conv"):
        plain = Architecture("features", (5, 3), True, 8, (30, 44), kind)
        assert not plain.reads_image
        assert build(plain)(*inputs[:2]).shape == (2, 30, 44)
    assert build(Architecture("rgb", (), True, 8, (30, 44)))(inputs[2]).shape == (2, 30, 44)


def test_parameter_counts_of_the_default_run_are_as_stated():
    """The module's text says 23 k and 34 k; the comparison of the two rests on that."""
    head = build(Architecture("features", (32, 64), True, 32, (64, 64)))
    baseline = build(Architecture("rgb", (), True, 32, (64, 64)))
    assert round(parameter_count(head) / 1000) == 23
    assert round(parameter_count(baseline) / 1000) == 34


def test_a_linear_head_is_linear_in_the_features():
    """Of the upsampled features: the same map before and after upsampling."""
    network = build(Architecture("features", (4,), True, 8, (16, 16), "linear"))
    a, b = torch.randn(2, 1, 4, 8, 8)
    with torch.no_grad():
        left = network(0.3 * a + 0.7 * b)
        right = 0.3 * network(a) + 0.7 * network(b)
    torch.testing.assert_close(left, right)
    assert parameter_count(network) == 5


def test_bad_requests_are_errors():
    with pytest.raises(DsegError, match=r"head\.width"):
        build(Architecture("rgb", (), True, 6, (SIZE, SIZE)))
    with pytest.raises(DsegError, match="feature map"):
        build(Architecture("features", (), True, 16, (SIZE, SIZE)))
