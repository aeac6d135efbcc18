"""Seconds that each part of the method takes for one image, measured where it is to run.

What a run costs is these rates times what `budget` counts. Inputs are random: time depends on
their shapes only, except that of the minimum cut, which is measured on what was just recorded.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from dseg.base_model.pipeline import (
    decode,
    embed,
    encode,
    image_size,
    latent_channels,
    latent_size,
    predict,
    train_timesteps,
)
from dseg.method.attention import (
    AttentionPlan,
    Recorder,
    noun_columns,
    record_attention,
)
from dseg.method.cut.attentioncut import attention_cut
from dseg.method.cut.evidence import AttentionMaps
from dseg.method.features import decoder_channels, decoder_features
from dseg.method.head import Architecture, build, loss
from dseg.settings.masks import AttentionCutSettings
from dseg.settings.run import Settings

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline

PROMPT, NOUN = "a photo of a dog", (5, 6)


@dataclass(frozen=True)
class Rates:
    """Seconds for one image each, at the batch sizes of the settings.

    Attributes:
        sampling: One step of sampling: two passes of the U-Net under guidance, else one.
        recording: The same with its attention recorded.
        passing: One pass, as in inversion.
        describing: One pass that ends once the decoder's features are there.
        looking: One pass with its attention recorded, as on a given image.
        encoding: The autoencoder's encoder.
        decoding: Its decoder.
        training: One step of training the head on features.
        training_rgb: The same of the network on images alone.
        cutting: AttentionCut, on one core.
        loading: Loading the base model: for one job, not one image.
    """

    sampling: float
    recording: float
    passing: float
    describing: float
    looking: float
    encoding: float
    decoding: float
    training: float
    training_rgb: float
    cutting: float
    loading: float


def calibrate(
    pipe: "StableDiffusionPipeline", settings: Settings, loading: float, repeats: int = 3
) -> Rates:
    """Measure all rates.

    Args:
        pipe: The base model, or a stand-in of its architecture.
        settings: Of the run. On a CPU, where it makes no difference, batches are of one.
        loading: Seconds that loading the model took.
        repeats: Calls to take the median of; on a GPU after one that warms up.
    """
    on_gpu = pipe.device.type != "cpu"
    batch = settings.synthesis.batch_size if on_gpu else 1
    rows = 2 if settings.synthesis.guidance > 1 else 1
    plan = attention_plan(settings)
    sampling, recording, maps = time_recording(pipe, batch, rows, plan, repeats)
    small = settings.inversion.batch_size if on_gpu else 1
    passing, looking, _ = time_recording(pipe, small, 1, plan, repeats)
    describing = time_features(pipe, small, settings.features.strides, repeats)
    encoding, decoding = time_autoencoder(pipe, batch, repeats)
    training, training_rgb = (time_training(pipe, settings, kind, repeats) for kind in KINDS)
    return Rates(
        sampling=sampling,
        recording=recording,
        passing=passing,
        describing=describing,
        looking=looking,
        encoding=encoding,
        decoding=decoding,
        training=training,
        training_rgb=training_rgb,
        cutting=time_cut(pipe, maps, settings.attentioncut, repeats),
        loading=loading,
    )


KINDS = ("features", "rgb")


def attention_plan(settings: Settings) -> AttentionPlan:
    """What a run records."""
    chosen = settings.attention
    return AttentionPlan(chosen.cross_strides, chosen.affinity_stride, chosen.neighbours)


def time_recording(
    pipe: "StableDiffusionPipeline", batch: int, rows: int, plan: AttentionPlan, repeats: int
) -> tuple[float, float, AttentionMaps]:
    """One pass for ``batch`` images of ``rows`` rows each, without and with recording.

    The two take turns, so that what else the machine does falls on both.

    Returns:
        Seconds an image without, and with; what was recorded.
    """
    latents = _latents(pipe, batch * rows)
    context = embed(pipe, [PROMPT]).expand(batch * rows, -1, -1)
    recorder = Recorder(plan, latent_size(pipe), noun_columns([NOUN] * batch, context.shape[1]))
    middle = train_timesteps(pipe) // 2
    times: dict[bool, list[float]] = {False: [], True: []}

    def work() -> object:
        return predict(pipe, latents, middle, context)

    with record_attention(pipe.unet, recorder):
        recorder.active = True
        for _ in range(_warm_up(pipe)):
            work()
        for _ in range(repeats):
            for active in times:
                recorder.active = active
                times[active].append(seconds(work, pipe.device, 1, warm_up=0))
    without, recorded = (statistics.median(values) / batch for values in times.values())
    return without, recorded, recorder.maps()


def time_features(
    pipe: "StableDiffusionPipeline", batch: int, strides: Sequence[int], repeats: int
) -> float:
    """One pass that ends at the finest of these strides; seconds an image."""
    latents, prompt = _latents(pipe, batch)[None], embed(pipe, [""])
    steps = [train_timesteps(pipe) // 10]
    return (
        seconds(
            lambda: decoder_features(pipe.unet, latents, steps, strides, prompt),
            pipe.device,
            repeats,
            _warm_up(pipe),
        )
        / batch
    )


def time_autoencoder(
    pipe: "StableDiffusionPipeline", batch: int, repeats: int
) -> tuple[float, float]:
    """Encoder and decoder; seconds an image."""
    latents, images = _latents(pipe, batch), _images(pipe, batch)
    encoding = seconds(lambda: encode(pipe, images), pipe.device, repeats, _warm_up(pipe))
    decoding = seconds(lambda: decode(pipe, latents), pipe.device, repeats, _warm_up(pipe))
    return encoding / batch, decoding / batch


def time_training(
    pipe: "StableDiffusionPipeline", settings: Settings, kind: str, repeats: int
) -> float:
    """One step of training a head on features, or a network on images; seconds a pair."""
    chosen, features, device = settings.head, settings.features, pipe.device
    batch = chosen.batch_size
    every = decoder_channels(pipe.unet)
    grids = [-(-latent_size(pipe)[0] // stride) for stride in features.strides]
    channels = [len(features.timesteps) * every[stride] for stride in features.strides]
    if features.components is not None:
        channels = [min(count, features.components) for count in channels]
    image = torch.from_numpy(_images(pipe, batch)).permute(0, 3, 1, 2).to(device)
    inputs: list[Tensor] = [
        torch.randn(batch, count, side, side, device=device)
        for count, side in zip(channels, grids, strict=True)
    ]
    network = build(
        Architecture(
            input="rgb" if kind == "rgb" else "features",
            channels=() if kind == "rgb" else tuple(channels),
            pixels=kind == "rgb" or chosen.pixels,
            width=chosen.width,
            size=image_size(pipe),
        )
    ).to(device)
    inputs = [image] if kind == "rgb" else [*inputs, *([image] if chosen.pixels else [])]
    target = image[:, 0] > 127
    optimiser = torch.optim.AdamW(network.parameters())

    def step() -> None:
        optimiser.zero_grad()
        loss(network(*inputs), target).backward()
        optimiser.step()

    return seconds(step, device, repeats) / batch


def time_cut(
    pipe: "StableDiffusionPipeline",
    maps: AttentionMaps,
    settings: AttentionCutSettings,
    repeats: int,
) -> float:
    """AttentionCut of one image, from recorded attention; seconds on one core."""
    image = decode(pipe, _latents(pipe, 1))[0]
    return seconds(
        lambda: attention_cut(maps.of_image(0, image.shape), image, settings),
        torch.device("cpu"),
        repeats,
    )


def seconds(
    work: Callable[[], object], device: torch.device, repeats: int, warm_up: int = 1
) -> float:
    """Median time of a call: of the clock on a GPU, of one core elsewhere.

    A job on CPUs has one core, and what else a machine does should not count.
    """
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    times = []
    for index in range(warm_up + repeats):
        _finish(device)
        start = clock()
        work()
        _finish(device)
        if index >= warm_up:
            times.append(clock() - start)
    return statistics.median(times)


def _warm_up(pipe: "StableDiffusionPipeline") -> int:
    """Calls before those that are timed: a GPU chooses its kernels, a CPU takes half a minute."""
    return int(pipe.device.type != "cpu")


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _latents(pipe: "StableDiffusionPipeline", count: int) -> Tensor:
    shape = (count, latent_channels(pipe), *latent_size(pipe))
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(pipe.device)


def _images(pipe: "StableDiffusionPipeline", count: int) -> np.ndarray:
    shape = (count, *image_size(pipe), 3)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
