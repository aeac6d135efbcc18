"""The embedded base model: its parts, a few steps of training, the folder that comes out."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from diffusers import StableDiffusionPipeline
from made_clothing import write_clothing
from PIL import Image

from dseg.embedded import autoencoder as coder
from dseg.embedded import checkpoints, domains
from dseg.embedded import training as unet_training
from dseg.embedded.components import (
    build_autoencoder,
    build_scheduler,
    build_text_encoder,
    build_tokenizer,
    build_unet,
)
from dseg.embedded.domains import open_domain
from dseg.errors import DsegError
from dseg.stages import base as stage
from dseg.stages import base_card, base_curve, instruments, world
from dseg.world.captions import VOCABULARY
from dseg.world.kinds import KIND_NAMES
from dseg.world.renderer import captioned_images

CHANNELS = 4


def settings(
    samples: int, every: int = 8, size: int = 64, photographs: str | None = None
) -> SimpleNamespace:
    autoencoder = SimpleNamespace(
        channels=CHANNELS, images=64, steps=3, batch_size=4, learning_rate=1e-3
    )
    unet = SimpleNamespace(
        images=16,
        samples=samples,
        batch_size=2,
        learning_rate=1e-3,
        processes=2,
        checkpoint_every=every,
    )
    return SimpleNamespace(
        seed=3,
        world=SimpleNamespace(size=64),
        base=SimpleNamespace(
            model="models/dseg-tiny",
            size=size,
            photographs=photographs,
            autoencoder=autoencoder,
            unet=unet,
        ),
    )


def pixels(count: int) -> torch.Tensor:
    images, _ = captioned_images(count, 5)
    return torch.from_numpy(images).permute(0, 3, 1, 2)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Folder of a training that was not interrupted: 4 steps."""
    folder = tmp_path_factory.mktemp("base")
    stage.run_encoder(settings(16), folder)
    stage.run_decoder(settings(16), folder)
    stage.run_unet(settings(16), folder)
    return folder


def test_every_word_of_the_world_is_one_token():
    tokenizer = build_tokenizer(VOCABULARY)
    assert {len(tokenizer(word).input_ids) for word in VOCABULARY} == {3}  # with start and end
    assert len({tokenizer(word).input_ids[1] for word in KIND_NAMES}) == len(KIND_NAMES)
    assert tokenizer.decode(tokenizer("a photo of a moon").input_ids[1:-1]).strip() == (
        "a photo of a moon"
    )


def test_the_convolutions_of_the_encoder_are_the_principal_components():
    images = pixels(48)
    mean, projection = coder.principal_components(images.float() / 255, CHANNELS)
    model = build_autoencoder(CHANNELS)
    coder.fix_encoder(model, mean, projection)
    expected = ((coder.patches(images.float() / 255) - mean) @ projection.T).permute(0, 3, 1, 2)
    latents = coder.encode(model, images).float() * model.config.scaling_factor
    assert latents.shape == (48, CHANNELS, 16, 16)
    torch.testing.assert_close(latents, expected, atol=5e-3, rtol=2e-3)  # stored in half precision
    assert latents.square().mean().item() == pytest.approx(1, abs=0.01)
    covariance = torch.cov(latents.permute(1, 0, 2, 3).flatten(1))
    assert (covariance - covariance.diag().diag()).abs().max() < 0.01


def test_the_decoder_learns(trained):
    images = pixels(64)
    model = build_autoencoder(CHANNELS)
    mean, projection = coder.principal_components(images.float() / 255, CHANNELS)
    coder.fix_encoder(model, mean, projection)
    before = coder.psnr(model, images[:8])
    losses = list(
        coder.train_decoder(
            model,
            images,
            coder.encode(model, images),
            steps=40,
            batch_size=8,
            learning_rate=4e-3,
            seed=0,
        )
    )
    assert losses[-1] < losses[0] / 2
    assert coder.psnr(model, images[:8]) > before + 3


class Killed(Exception):
    pass


def test_a_resumed_training_ends_as_an_uninterrupted_one(tmp_path):
    plan = unet_training.TrainingPlan(16, 16, 4, 1e-3, 1, 8, 3, 64)
    tokenizer = build_tokenizer(VOCABULARY)
    encoder = build_autoencoder(CHANNELS)
    data = unet_training.training_latents(encoder, tokenizer, *captioned_images(16, 3))
    empty = unet_training.tokenize(tokenizer, [""])[0]
    checkpoint = tmp_path / "checkpoint.safetensors"

    def begin():
        torch.manual_seed(0)
        return unet_training.start(
            unet_training.Denoiser(build_text_encoder(tokenizer), build_unet(CHANNELS)), 1e-3
        )

    def train(run, save):
        unet_training.train(0, plan, run, data, empty, report=lambda *_: None, save=save)
        return run.average.state_dict()

    def die(run, samples):
        unet_training.save_checkpoint(checkpoint, run)
        raise Killed

    unet_training.join(0, 1, tmp_path / "rendezvous")
    try:
        whole = train(begin(), lambda *_: None)
        with pytest.raises(Killed):
            train(begin(), die)
        resumed = begin()
        unet_training.load_checkpoint(checkpoint, resumed)
        assert resumed.step == 2
        again = train(resumed, lambda *_: None)
    finally:
        torch.distributed.destroy_process_group()
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_a_checkpoint_of_something_else_is_refused(trained, tmp_path):
    (tmp_path / "encoder.safetensors").write_bytes((trained / "encoder.safetensors").read_bytes())
    (tmp_path / "checkpoint.safetensors").write_bytes(b"no such thing")
    with pytest.raises(DsegError, match="checkpoint.safetensors: not a whole safetensors file"):
        stage.run_unet(settings(16), tmp_path)
    (tmp_path / "checkpoint.safetensors").unlink()
    (tmp_path / "loss.csv").write_text("step,loss\nfirst,1\n")
    with pytest.raises(DsegError, match=r"loss\.csv: not the curve of a training; remove it$"):
        stage.run_unet(settings(16), tmp_path)


def test_the_unet_needs_the_encoder_first(tmp_path):
    with pytest.raises(DsegError, match="no such file; run the stage base-encoder"):
        stage.run_unet(settings(16), tmp_path)
    with pytest.raises(DsegError, match="no such file; run the stage base-encoder"):
        stage.run_decoder(settings(16), tmp_path)
    with pytest.raises(DsegError, match="train the U-Net first"):
        checkpoints.export(settings(16), tmp_path, tmp_path / "model")


def test_plain_diffusers_loads_the_exported_folder(trained, tmp_path):
    out = tmp_path / "model"
    checkpoints.export(settings(16), trained, out)
    (out / "README.md").write_text("a card")
    checkpoints.export(settings(16), trained, out)
    assert (out / "README.md").read_text() == "a card"
    assert not list(out.rglob("*.bin")) and list(tmp_path.iterdir()) == [out]
    pipe = StableDiffusionPipeline.from_pretrained(out)
    pipe.set_progress_bar_config(disable=True)
    image = pipe("a photo of a moon on sand", num_inference_steps=2).images[0]
    assert image.size == (64, 64)
    assert pipe.scheduler.config.prediction_type == build_scheduler().config.prediction_type


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """Settings with few renders; folder with the split val and the instruments trained on it."""
    folder = tmp_path_factory.mktemp("judged")
    chosen = settings(16)
    chosen.world.images, chosen.world.shift_strength = {"val": 4}, 0.5
    chosen.synthesis = SimpleNamespace(steps=1, guidance=1.0)
    chosen.recording = SimpleNamespace(timesteps=(0.1, 0.5), context=None)
    chosen.attention = SimpleNamespace(measure="noun")
    chosen.instruments = SimpleNamespace(images=24, epochs=1)
    world.run(chosen, "val", folder / "val")
    instruments.run(chosen, folder / "val", folder / "instruments")
    return chosen, folder


def test_the_learning_curve_has_a_row_for_each_checkpoint(trained, judged, tmp_path, monkeypatch):
    chosen, folder = judged
    monkeypatch.setattr(base_curve, "FIRST", 8)
    few = replace(domains.RENDERED, asked=tuple((kind, "sand") for kind in KIND_NAMES))
    monkeypatch.setattr(domains, "RENDERED", few)
    out = tmp_path / "learning.csv"
    base_curve.run(chosen, trained, folder / "instruments", folder / "val", out)
    head, *rows = out.read_text().splitlines()
    assert head == "samples,localisation,localisation_root,accuracy"
    assert [row.split(",")[0] for row in rows] == ["8", "16"]
    assert all(0 <= float(value) <= 1 for row in rows for value in row.split(",")[1:])


def test_checkpoints_of_the_curve_are_spaced_by_a_third_and_end_with_the_last():
    paths = [Path(f"average-{1000 * k:08d}.safetensors") for k in range(5, 34)]
    seen = [checkpoints.samples_seen(path) for path in base_curve.spaced(paths)]
    assert seen == [5_000, 7_000, 10_000, 14_000, 19_000, 26_000, 33_000]
    assert base_curve.spaced(paths[:1]) == paths[:1] and base_curve.spaced([]) == []


def test_the_card_is_filled_in_with_what_was_measured(trained, judged, tmp_path):
    chosen, folder = judged
    model = tmp_path / "model"
    checkpoints.export(chosen, trained, model)
    (trained / "loss.csv").write_text("step,samples,seconds,loss,learning_rate\n4,16,9.0,0.5,0\n")
    learning = tmp_path / "learning.csv"
    learning.write_text(
        "samples,localisation,localisation_root,accuracy\n8,0.1,0.2,0.3\n16,0.2,0.3,0.5\n"
    )
    base_card.run(chosen, trained, folder / "val", model, folder / "instruments", learning)
    card = (model / "README.md").read_text()
    assert "16 samples seen" in card and "9 s; loss at the end 0.500" in card
    assert "| 50.0 % of 96 samples |" in card
    assert "{" not in card and "}" not in card
    assert (model / "learning.csv").read_text() == learning.read_text()
    for picture in ("samples.png", "loss.png", "learning.png"):
        with Image.open(model / picture) as image:
            image.verify()


@pytest.fixture(scope="module")
def clothes(tmp_path_factory):
    """Twelve photographers' two photographs each."""
    rows = [
        (f"{sender}-{label}", sender, label) for sender in range(12) for label in ("Hat", "Pants")
    ]
    return write_clothing(tmp_path_factory.mktemp("made") / "clothes", rows)


def test_a_base_model_may_learn_photographs_of_another_size(clothes, tmp_path, monkeypatch):
    """From the encoder to the pipeline, interrupted once; the card is another."""
    monkeypatch.setattr(stage, "ENCODER_IMAGES", 32)
    chosen = [settings(samples, 8, 32, str(clothes)) for samples in (8, 16)]
    training, whole = tmp_path / "training", tmp_path / "whole"
    for folder in (training, whole):
        stage.run_encoder(chosen[1], folder)
    stage.run_decoder(chosen[1], training)
    stage.run_unet(chosen[0], training)
    assert [checkpoints.samples_seen(path) for path in checkpoints.averages(training)] == [8]
    stage.run_unet(chosen[1], training)  # from the checkpoint
    assert [checkpoints.samples_seen(path) for path in checkpoints.averages(training)] == [8, 16]
    out = tmp_path / "model"
    checkpoints.export(chosen[1], training, out)
    pipe = StableDiffusionPipeline.from_pretrained(out)
    pipe.set_progress_bar_config(disable=True)
    assert pipe.unet.config.sample_size == 8
    assert pipe("a photo of a hat on white", num_inference_steps=1).images[0].size == (32, 32)
    for word in open_domain(chosen[1].base).vocabulary:
        assert len(pipe.tokenizer(word).input_ids) == 3
    with pytest.raises(DsegError, match="average-00000016"):  # the vocabulary is another
        checkpoints.export(settings(16, size=32), training, tmp_path / "other")
    assert not (tmp_path / "other").exists()
