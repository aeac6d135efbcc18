"""Recorded attention against explicit softmax, and the model left as it was."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from dseg.base_model.pipeline import embed, load_pipeline, predict
from dseg.errors import DsegError
from dseg.method import attention
from dseg.method.attention import (
    AttentionPlan,
    Recorder,
    attention_layers,
    noun_attention,
    noun_columns,
    record_attention,
    sparsify,
)

pytest_plugins = ("tiny_pipeline",)
PROMPTS = ["a photo of a moon on sand", "a photo of a sea", "the key"]
SPANS = [(5, 6), (5, 8), (2, 3)]
PLAN = AttentionPlan(cross_strides=(1, 2), affinity_stride=1, neighbours=10)


@pytest.fixture(scope="module")
def pipe(tiny_pipeline: Path):
    return load_pipeline(tiny_pipeline)


@pytest.fixture(scope="module", params=["tiny_pipeline", "tiny_sd15", "tiny_sd2"])
def any_pipe(request: pytest.FixtureRequest):
    return load_pipeline(request.getfixturevalue(request.param))


@pytest.fixture
def context(pipe) -> Tensor:
    return embed(pipe, PROMPTS)


def latents(size: tuple[int, int] = (8, 8)) -> Tensor:
    return torch.randn(3, 4, *size, generator=torch.Generator().manual_seed(1))


def recorder(plan: AttentionPlan = PLAN, size: tuple[int, int] = (8, 8)) -> Recorder:
    return Recorder(plan, size, noun_columns(SPANS, 16), active=True)


@contextmanager
def probabilities(pipe, kind: str, stride: int) -> Iterator[list[Tensor]]:
    """Whole attention (B, heads, N, M) of every chosen layer, by diffusers' explicit softmax."""
    seen: list[Tensor] = []

    def note(module, inputs, keywords) -> None:
        hidden = inputs[0]
        query = module.head_to_batch_dim(module.to_q(hidden))
        other = keywords.get("encoder_hidden_states")
        key = module.head_to_batch_dim(module.to_k(hidden if other is None else other))
        scores = module.get_attention_scores(query, key)
        seen.append(scores.unflatten(0, (len(hidden), module.heads)))

    modules = [m for k, s, m in attention_layers(pipe.unet) if (k, s) == (kind, stride)]
    handles = [m.register_forward_pre_hook(note, with_kwargs=True) for m in modules]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def test_layers_are_found_with_their_resolution(pipe, context) -> None:
    layers = attention_layers(pipe.unet)
    assert {id(m.processor) for _, _, m in layers} == {
        id(p) for p in pipe.unet.attn_processors.values()
    }
    for stride, tokens in ((1, 64), (2, 16)):
        with probabilities(pipe, "self", stride) as seen:
            predict(pipe, latents(), 500, context)
        assert len(seen) >= 3 and {p.shape[-1] for p in seen} == {tokens}


def test_equals_the_naive_full_softmax(any_pipe) -> None:
    pipe, context = any_pipe, embed(any_pipe, PROMPTS)
    record = recorder()
    with record_attention(pipe.unet, record):
        for timestep in (700, 300):
            predict(pipe, latents(), timestep, context)
    for stride in PLAN.cross_strides:
        with probabilities(pipe, "cross", stride) as seen:
            for timestep in (700, 300):
                predict(pipe, latents(), timestep, context)
        whole = torch.stack(seen).mean((0, 2))  # (B, N, L)
        naive = [whole[b, :, i:j].mean(1) for b, (i, j) in enumerate(SPANS)]
        expected = torch.stack(naive).view(3, 8 // stride, 8 // stride)
        assert expected.std() > 1e-3  # the maps say something
        torch.testing.assert_close(record.mean_cross()[stride], expected, rtol=1e-4, atol=1e-6)
    with probabilities(pipe, "self", 1) as seen:
        for timestep in (700, 300):
            predict(pipe, latents(), timestep, context)
    expected = torch.stack(seen).mean((0, 2))
    assert expected.std(-1).max() > 1e-3
    torch.testing.assert_close(record.mean_affinity(), expected, rtol=1e-4, atol=1e-6)


def test_rows_of_the_affinity_sum_to_one(pipe, context) -> None:
    record = recorder()
    with record_attention(pipe.unet, record):
        predict(pipe, latents(), 300, context)
    torch.testing.assert_close(record.mean_affinity().sum(-1), torch.ones(3, 64))
    maps = record.maps()
    assert maps.affinity_weights.dtype == np.float16 and maps.affinity_indices.dtype == np.int32
    assert maps.affinity_weights.shape == maps.affinity_indices.shape == (3, 64, 10)
    assert (maps.affinity_weights.sum(-1) < 1).all()
    assert {stride: cross.shape for stride, cross in maps.cross.items()} == {
        1: (3, 8, 8),
        2: (3, 4, 4),
    }


def test_sparsify_keeps_the_largest_in_order() -> None:
    affinity = torch.rand(2, 9, 9, generator=torch.Generator().manual_seed(0)).softmax(-1)
    indices, weights = sparsify(affinity, 4)
    order = affinity.numpy().argsort(-1)[..., ::-1][..., :4]
    assert np.array_equal(indices, order)
    expected = np.take_along_axis(affinity.numpy(), order, -1).astype(np.float16)
    assert np.array_equal(weights, expected)
    assert sparsify(affinity, 100)[0].shape == (2, 9, 9)


def test_output_is_bit_identical_while_recording(any_pipe) -> None:
    pipe, context = any_pipe, embed(any_pipe, PROMPTS)
    rows, both = latents().repeat(2, 1, 1, 1), torch.cat([context.flip(0), context])
    expected = predict(pipe, rows, 300, both)
    with record_attention(pipe.unet, recorder()):
        assert torch.equal(predict(pipe, rows, 300, both), expected)
    assert torch.equal(predict(pipe, rows, 300, both), expected)


def test_only_the_last_rows_are_recorded(pipe, context) -> None:
    alone, guided = recorder(), recorder()
    with record_attention(pipe.unet, alone):
        predict(pipe, latents(), 300, context)
    with record_attention(pipe.unet, guided):
        predict(pipe, latents().repeat(2, 1, 1, 1), 300, torch.cat([context.flip(0), context]))
    torch.testing.assert_close(guided.mean_affinity(), alone.mean_affinity())
    torch.testing.assert_close(guided.mean_cross(), alone.mean_cross())


def test_all_strides_of_stable_diffusion_are_found(tiny_sd15: Path, tiny_sd2: Path) -> None:
    """16 layers of each kind: 6 on the way down, 1 in the middle, 9 on the way up."""
    for folder in (tiny_sd15, tiny_sd2):
        layers = attention_layers(load_pipeline(folder).unet)
        for kind in ("self", "cross"):
            strides = [stride for layer_kind, stride, _ in layers if layer_kind == kind]
            assert Counter(strides) == {1: 5, 2: 5, 4: 5, 8: 1}
    heads = {"tiny_sd15": [8, 8, 8], "tiny_sd2": [2, 4, 8]}
    for folder, expected in zip((tiny_sd15, tiny_sd2), heads.values(), strict=True):
        layers = attention_layers(load_pipeline(folder).unet)
        assert [{m.heads for _, s, m in layers if s == stride} for stride in (1, 2, 4)] == [
            {number} for number in expected
        ]


def test_inactive_passes_do_not_count(pipe, context) -> None:
    once, twice = recorder(), recorder()
    with record_attention(pipe.unet, once):
        predict(pipe, latents(), 300, context)
    with record_attention(pipe.unet, twice):
        twice.active = False
        predict(pipe, latents(), 900, context)
        twice.active = True
        predict(pipe, latents(), 300, context)
    assert torch.equal(twice.mean_affinity(), once.mean_affinity())
    with pytest.raises(DsegError, match="nothing was recorded"):
        recorder().maps()


def test_only_chosen_layers_are_touched_and_all_are_restored(pipe, context) -> None:
    before = pipe.unet.attn_processors
    plan = AttentionPlan(cross_strides=(2,), affinity_stride=1, neighbours=5)
    chosen = {
        id(m) for k, s, m in attention_layers(pipe.unet) if (k, s) in (("cross", 2), ("self", 1))
    }
    with record_attention(pipe.unet, recorder(plan)):
        changed = {
            id(m)
            for _, _, m in attention_layers(pipe.unet)
            if not any(m.processor is p for p in before.values())
        }
        assert changed == chosen
    assert pipe.unet.attn_processors == before
    with pytest.raises(ZeroDivisionError), record_attention(pipe.unet, recorder(plan)):
        predict(pipe, latents(), 300, context)
        _ = 1 / 0
    after = pipe.unet.attn_processors
    assert all(after[name] is processor for name, processor in before.items())


def test_an_absent_stride_is_named(pipe) -> None:
    before = pipe.unet.attn_processors
    for plan, message in (
        (AttentionPlan((1, 4), 1, 5), r"attention.cross_strides: \[1, 4\].*\[1, 2\]"),
        (AttentionPlan((1,), 8, 5), r"attention.affinity_stride: \[8\].*\[1, 2\]"),
    ):
        with pytest.raises(DsegError, match=message), record_attention(pipe.unet, recorder(plan)):
            pass
    assert pipe.unet.attn_processors == before


def test_memory_does_not_grow_with_steps(pipe, context) -> None:
    record = recorder()
    sizes = []
    with record_attention(pipe.unet, record):
        for timestep in range(900, 0, -100):
            predict(pipe, latents(), timestep, context)
            held = [value for value in vars(record).values() if isinstance(value, Tensor)]
            held += record.cross.values()
            sizes.append(sum(t.untyped_storage().nbytes() for t in held))
    noun_maps, affinity, columns = 3 * (64 + 16), 3 * 64 * 64, 3 * 16
    assert set(sizes) == {4 * (noun_maps + affinity + columns)}


def test_chunks_change_nothing(pipe, context, monkeypatch: pytest.MonkeyPatch) -> None:
    results = []
    for size, heads in ((2**24, 1), (64 * 64 * 2, 1), (1, 1), (2**24, 4), (64 * 64 * 3, 4)):
        monkeypatch.setitem(attention.CHUNK, "cpu", size)
        monkeypatch.setitem(attention.HEADS, "cpu", heads)
        record = recorder()
        with record_attention(pipe.unet, record):
            predict(pipe, latents(), 300, context)
        results.append((record.mean_affinity(), record.mean_cross()))
    for result in results[1:]:
        torch.testing.assert_close(result, results[0])


def test_odd_latents_give_maps_of_their_shape(pipe, context) -> None:
    record = recorder(size=(6, 9))
    with record_attention(pipe.unet, record):
        predict(pipe, latents((6, 9)), 300, context)
    assert {s: tuple(m.shape) for s, m in record.mean_cross().items()} == {
        1: (3, 6, 9),
        2: (3, 3, 5),
    }


def test_noun_columns_average_the_span() -> None:
    columns = noun_columns([(1, 3), (0, 1)], 4)
    assert columns.tolist() == [[0, 0.5, 0.5, 0], [1, 0, 0, 0]]
    for span in ((2, 2), (3, 5), (-1, 2)):
        with pytest.raises(DsegError, match="expected a span within"):
            noun_columns([span], 4)


def test_half_precision_is_summed_in_float32() -> None:
    query, key = torch.randn(2, 2, 4, 50, 8, generator=torch.Generator().manual_seed(0)).half()
    columns = noun_columns([(0, 50)] * 2, 50)
    whole = noun_attention(query, key, 1.0, columns)
    assert whole.dtype == torch.float32
    torch.testing.assert_close(whole, torch.full((2, 50), 1 / 50))
