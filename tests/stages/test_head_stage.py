"""Pairs and latents on disk -> a head on disk: which pairs, which latents, the same every time."""

import csv
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

from dseg.artifacts.heads import read_head, read_heads
from dseg.artifacts.rows import read_latents
from dseg.artifacts.shards import read_shards, write_shard
from dseg.base_model.pipeline import alphas_cumprod, embed, load_pipeline
from dseg.errors import DsegError
from dseg.method.feature_reader import FeatureReader
from dseg.method.features import decoder_features
from dseg.method.inversion import noise_to
from dseg.method.prompts import captions, item_seed
from dseg.settings.run import Settings
from dseg.stages import head, inversion

pytest_plugins = ("tiny_pipeline", "stage_two")
Make = Callable[..., Settings]


@pytest.fixture(scope="module")
def latents(make: Make, synthesis: list[Path], prompts: Path, tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("inversion")
    outs = [folder / path.name for path in synthesis]
    for path, out in zip(synthesis, outs, strict=True):
        inversion.run(make(inversion={"batch_size": 20}), path, prompts, out)
    return outs


def test_only_kept_pairs_in_the_order_of_the_prompts(
    make: Make, synthesis: list[Path], masks: list[Path]
) -> None:
    ids, images, targets = head.read_pairs(synthesis, masks, make().head)
    everything = read_shards(masks).fields
    assert len(ids) == 16 and not {f"moon-{row:05d}" for row in (0, 5, 10, 15)} & set(ids)
    kept = read_shards(synthesis).fields["image"][everything["kept"]]
    assert images.shape == (16, 3, 32, 32) and targets.shape == (16, 32, 32)
    rows = torch.tensor([15, 0, 7])
    assert np.array_equal(targets[rows], everything["mask"][everything["kept"]][rows])
    assert np.array_equal(images[rows], kept[rows].transpose(0, 3, 1, 2))
    few, _, _ = head.read_pairs(synthesis, masks, make(head={"pairs": 6}).head)
    assert few == ids[:6]
    every, _, _ = head.read_pairs(synthesis, masks, make(head={"filter": False}).head)
    assert every == read_shards(synthesis).ids
    with pytest.raises(DsegError, match="expected 'masks'"):
        head.read_pairs(synthesis, synthesis, make().head)


def test_trains_a_head_and_says_what_it_is(
    make: Make,
    synthesis: list[Path],
    masks: list[Path],
    prompts: Path,
    latents: list[Path],
    tmp_path: Path,
) -> None:
    chosen = make(head={"epochs": 3}, features={"timesteps": [0.1, 0.3]})
    outs = [tmp_path / name for name in ("first", "again")]
    for out in outs:
        head.run(chosen, synthesis, masks, prompts, out, latents)
    assert sorted(file.name for file in outs[0].iterdir()) == ["curve.csv", "head.safetensors"]
    for name in ("curve.csv", "head.safetensors"):
        assert (outs[0] / name).read_bytes() == (outs[1] / name).read_bytes()
    networks, architecture, about = read_heads(outs[0] / "head.safetensors")
    network, other = networks
    assert not torch.equal(network.fuse[2][0].weight, other.fuse[2][0].weight)
    assert architecture.channels == (32, 64) and architecture.size == (32, 32)
    assert about.pairs == 16
    assert about.features.timesteps == (0.1, 0.3)
    assert len(about.model.identity) == 64
    assert about.parameters == sum(p.numel() for p in network.parameters())
    with (outs[0] / "curve.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["seed"], row["epoch"]) for row in rows] == [*product("01", "123")]
    assert rows[0]["loss"] != rows[3]["loss"]
    assert 0 <= float(rows[-1]["validation_iou"]) <= 1


def test_components_are_folded_into_the_head(
    make: Make,
    synthesis: list[Path],
    masks: list[Path],
    prompts: Path,
    latents: list[Path],
    tmp_path: Path,
) -> None:
    few = make(head={"epochs": 2}, features={"components": 6})
    head.run(few, synthesis, masks, prompts, tmp_path / "few", latents)
    network, architecture, about = read_head(tmp_path / "few" / "head.safetensors")
    assert architecture.channels == (16, 32)  # what the model gives, not six
    assert about.features.components == 6
    assert about.parameters == sum(p.numel() for p in network.parameters())
    # All components are the channels on another basis: the head can express the same.
    every = make(head={"epochs": 2}, features={"components": 1000})
    head.run(every, synthesis, masks, prompts, tmp_path / "all", latents)
    assert read_head(tmp_path / "all" / "head.safetensors")[1] == architecture


def test_the_baseline_needs_no_latents_and_no_model(
    make: Make, synthesis: list[Path], masks: list[Path], prompts: Path, tmp_path: Path
) -> None:
    chosen = make(head={"input": "rgb", "epochs": 1, "pairs": 8}, model={"path": "nowhere"})
    head.run(chosen, synthesis, masks, prompts, tmp_path)
    _, architecture, about = read_head(tmp_path / "head.safetensors")
    assert (architecture.input, architecture.channels, about.pairs) == ("rgb", (), 8)
    assert about.model is None


def features(chosen: Settings, latents: list[Path], ids: list[str]) -> tuple[torch.Tensor, ...]:
    pipe = load_pipeline(chosen.model.path)
    reader = FeatureReader(pipe, chosen.features, chosen.inversion, chosen.seed)
    said = captions(chosen.features.prompt, ["moon"] * len(ids))
    return reader.all(read_latents(latents, ids), ids, said, "features")


def test_the_three_sources_of_features(make: Make, latents: list[Path]) -> None:
    shard = read_shards(latents)
    ids = [shard.ids[7], shard.ids[2], shard.ids[15]]
    rows = torch.from_numpy(shard.fields["latents"][[7, 2, 15]]).float()  # (3, T, C, h, w)
    pipe = load_pipeline(make().model.path)
    alphas, prompt = alphas_cumprod(pipe), embed(pipe, [""])
    seeds = [item_seed(1, f"{item}:features") for item in ids]
    clean = rows[:, 0]
    expected = {
        "inversion": torch.stack([rows[:, 1], rows[:, 2]]),
        "noise": torch.stack([noise_to(clean, float(alphas[t]), seeds) for t in (100, 300)]),
        "clean": torch.stack([clean, clean]),
    }
    for source, states in expected.items():
        got = features(make(features={"source": source, "timesteps": [0.1, 0.3]}), latents, ids)
        want = decoder_features(pipe.unet, states, [100, 300], [1, 2], prompt)
        for a, b in zip(got, want, strict=True):
            assert a.dtype == torch.float16
            torch.testing.assert_close(a.float(), b, atol=5e-3, rtol=5e-3)


@pytest.mark.parametrize("source", ["inversion", "noise", "clean"])
def test_features_do_not_depend_on_batch_or_neighbours(
    make: Make, latents: list[Path], source: str
) -> None:
    ids = list(read_shards(latents).ids[:5])
    chosen = {"features": {"source": source}}
    whole = features(make(**chosen, inversion={"batch_size": 5}), latents, ids)
    parts = features(make(**chosen, inversion={"batch_size": 2}), latents, ids[::-1])
    for a, b in zip(whole, parts, strict=True):
        torch.testing.assert_close(a, b.flip(0), atol=5e-3, rtol=5e-3)


def test_the_first_training_does_not_depend_on_how_many_follow(
    make: Make, synthesis: list[Path], masks: list[Path], prompts: Path, tmp_path: Path
) -> None:
    for seeds in (1, 3):
        chosen = make(head={"input": "rgb", "epochs": 1, "seeds": seeds})
        head.run(chosen, synthesis, masks, prompts, tmp_path / str(seeds))
    (one,), _, _ = read_heads(tmp_path / "1" / "head.safetensors")
    (first, *rest), _, _ = read_heads(tmp_path / "3" / "head.safetensors")
    assert len(rest) == 2
    for name, value in one.state_dict().items():
        assert torch.equal(value, first.state_dict()[name])


def test_attention_as_features(make: Make, latents: list[Path]) -> None:
    ids = list(read_shards(latents).ids[:3])
    chosen = {"maps": ["attention"], "prompt": "a photo of an object", "timesteps": [0.1, 0.3]}
    (attention,) = features(make(features=chosen), latents, ids)
    assert attention.shape == (3, 2 * (1 + 64), 8, 8)
    rows = attention.float().unflatten(1, (2, 65))[:, :, 1:]
    torch.testing.assert_close(rows.sum(2), torch.ones(3, 2, 8, 8), atol=2e-2, rtol=0)
    both = features(make(features=chosen | {"maps": ["decoder", "attention"]}), latents, ids)
    assert [values.shape[1] for values in both] == [2 * 16, 2 * 32, 130]
    torch.testing.assert_close(both[2], attention)


def test_an_untrained_network_gives_other_features(make: Make, latents: list[Path]) -> None:
    ids = list(read_shards(latents).ids[:3])
    trained, random, again = (
        features(make(features={"weights": weights}), latents, ids)
        for weights in ("trained", "random", "random")
    )
    assert all(torch.equal(a, b) for a, b in zip(random, again, strict=True))
    assert [a.shape for a in random] == [a.shape for a in trained]
    assert not torch.allclose(random[0], trained[0], atol=0.1)


def test_bad_artifacts_are_errors(
    make: Make,
    synthesis: list[Path],
    masks: list[Path],
    prompts: Path,
    latents: list[Path],
    tmp_path: Path,
) -> None:
    def run(chosen: Settings, pairs: list[Path] = masks, rows: list[Path] = latents) -> None:
        head.run(chosen, synthesis, pairs, prompts, tmp_path / "out", rows)

    with pytest.raises(DsegError, match="16 of 20 masks were kept, expected at least 17"):
        run(make(head={"pairs": 17}))
    with pytest.raises(DsegError, match="masks of other items"):
        run(make(), masks[::-1])
    with pytest.raises(DsegError, match="no shards of the stage inversion were given"):
        run(make(), rows=[])
    with pytest.raises(DsegError, match="no latents of 'moon-00012', 7 are missing"):
        run(make(), rows=latents[:1])
    with pytest.raises(DsegError, match=r"expected 0\.2 among them"):
        run(make(features={"timesteps": [0.2]}))
    kept = {"timesteps": [0.1, 0.2, 0.3]}
    with pytest.raises(DsegError, match=r"expected 0\.0 among them.*source noise"):
        run(make(features={"source": "noise"}, inversion=kept))
    with pytest.raises(DsegError, match="latents at 3 timesteps"):
        run(make(inversion={"timesteps": [0.0, 0.1]}))
    with pytest.raises(DsegError, match=r"features\.strides"):
        run(make(features={"strides": [1, 4]}))

    nothing = tmp_path / "nothing.safetensors"
    shard = read_shards(masks)
    write_shard(
        nothing,
        shard.fields | {"kept": np.zeros(20, bool)},
        ids=shard.ids,
        kind="masks",
        stage="attentioncut",
        settings_hash="0",
    )
    with pytest.raises(DsegError, match="0 of 20 masks were kept, expected at least 4; synth"):
        run(make(), [nothing])
    assert not (tmp_path / "out").exists()
