"""The two ways to segment given images, each as one call: a trained head, or AttentionCut."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

import dseg
from dseg.artifacts.heads import read_head
from dseg.base_model.device import choose_device
from dseg.base_model.pipeline import (
    encode,
    image_size,
    load_pipeline,
    model_identity,
    timestep_at,
    train_timesteps,
)
from dseg.errors import DsegError
from dseg.files import file_hash
from dseg.method.attention import AttentionPlan
from dseg.method.cut.attentioncut import attention_cut
from dseg.method.cut.filter import Reason
from dseg.method.feature_reader import FeatureReader, latents_wanted
from dseg.method.ground import name_ground
from dseg.method.head import Architecture, Network, as_planes, predict
from dseg.method.inversion import invert_images, snap
from dseg.method.prompts import item_seed, noun_span
from dseg.method.recording import noised, noun_prompt, record
from dseg.photos.exported import CONFIG, HEAD, HeadConfig, find_base, read_config
from dseg.photos.segmenter import Segmenter

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline

REMARKS = {
    Reason.KEPT: "",
    Reason.TOO_SMALL: "almost nothing was found",
    Reason.TOO_LARGE: "almost everything was taken for the object",
    Reason.BORDER: "the background may have been taken for the object",
    Reason.UNFOCUSED: "the noun was hardly found",
}


class HeadMethod:
    """A trained head on features of the base model, or on the image alone (`head.input: rgb`)."""

    def __init__(
        self,
        config: HeadConfig,
        network: Network,
        architecture: Architecture,
        pipe: "StableDiffusionPipeline | None",
    ) -> None:
        """Put together what `load_head` loaded; no pipeline for a head on images alone."""
        self.size = config.size
        self._config = config
        self._network = network
        self._architecture = architecture
        self._pipe = pipe

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, Sequence[str]]:
        """As `segmenter.Method`; the mask of an image is that of the stage prediction."""
        planes = as_planes(torch.from_numpy(images))
        inputs: tuple[Tensor, ...] = ()
        if self._pipe is not None:
            inputs = self._features(self._pipe, images)
        if self._architecture.reads_image:
            inputs = (*inputs, planes)
        soft = predict(self._network, inputs, batch_size=len(images)).numpy()
        threshold = self._config.threshold
        return soft, ["" if each.max() > threshold else "nothing was found" for each in soft]

    def _features(self, pipe: "StableDiffusionPipeline", images: np.ndarray) -> tuple[Tensor, ...]:
        features = self._config.features
        # Up to the last timestep that is read, and no further.
        inversion = self._config.inversion.model_copy(
            update={"timesteps": latents_wanted(features)}
        )
        reader = FeatureReader(pipe, features, inversion, self._config.seed)
        return reader.batch(invert_images(pipe, images, inversion), image_ids(images))


class AttentionCutMethod:
    """AttentionCut on the image itself, with a prompt that names the noun: nothing is trained."""

    def __init__(self, config: HeadConfig, noun: str, pipe: "StableDiffusionPipeline") -> None:
        """Prepare the prompt.

        Raises:
            DsegError: The text encoder has no tokens for the noun, or it has too many.
        """
        self.size = image_size(pipe)
        self._config = config
        self._noun = noun
        self._pipe = pipe
        noun_span(pipe.tokenizer, noun_prompt(noun))

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, Sequence[str]]:
        """As `segmenter.Method`; the mask filter does not drop masks but remarks on them."""
        config, pipe = self._config, self._pipe
        attention, cut = config.attention, config.attentioncut
        latents, timesteps = self._latents(images)
        # Of the resolutions that a run records, those that the cut reads.
        measure = config.recording.measure or attention.measure
        plan = AttentionPlan(
            cut.cross_strides,
            attention.affinity_stride,
            attention.neighbours,
            share=measure == "share",
        )
        on_ground = config.recording.context is not None
        phrases = [
            noun_prompt(self._noun, name_ground(image) if on_ground else None) for image in images
        ]
        maps = record(pipe, latents, timesteps, phrases, plan)
        masks = [
            attention_cut(maps.of_image(row, image.shape), image, cut)
            for row, image in enumerate(images)
        ]
        return np.stack([mask.soft for mask in masks]), [REMARKS[mask.reason] for mask in masks]

    def _latents(self, images: np.ndarray) -> tuple[Tensor, list[int]]:
        """Latents (B, T, C, h, w) at the timesteps to record, and these."""
        pipe, config, fractions = self._pipe, self._config, self._config.recording.timesteps
        if config.recording.latents == "inversion":
            inversion = config.inversion.model_copy(update={"timesteps": fractions})
            count = train_timesteps(pipe)
            timesteps = [snap(fraction, inversion.steps, count) for fraction in fractions]
            return torch.from_numpy(invert_images(pipe, images, inversion)).float(), timesteps
        timesteps = [timestep_at(pipe, fraction) for fraction in fractions]
        seeds = [item_seed(config.seed, item) for item in image_ids(images)]
        return noised(pipe, encode(pipe, images), seeds, timesteps), timesteps


def load_head(path: str | os.PathLike[str], *, device: str = "auto") -> Segmenter:
    """The segmenter of an exported head; see `dseg.load`."""
    folder = Path(path)
    config = read_config(folder)
    if (folder / HEAD).is_file() and file_hash(folder / HEAD) != config.head:
        raise DsegError(
            f"{folder}: {HEAD} is not the one that {CONFIG} was written for: export it again"
        )
    network, architecture, _ = read_head(folder / HEAD)
    pipe = None
    if architecture.input == "features":
        base, revision = find_base(config.base_model, folder)
        pipe = load_pipeline(base, revision=revision, dtype=config.base_model.dtype, device=device)
        if image_size(pipe) != config.size:
            raise DsegError(f"{folder / CONFIG}: size: {config.size}, but not that of {base}")
    network.to(choose_device(device))
    about = _about(config, folder, "head", config.base_model.identity if pipe else None)
    about["head"] = config.head
    return Segmenter(HeadMethod(config, network, architecture, pipe), config.threshold, about)


def load_attentioncut(
    path: str | os.PathLike[str],
    noun: str,
    *,
    base_model: str | None = None,
    device: str = "auto",
) -> Segmenter:
    """AttentionCut for one noun, with the settings and the base model of an exported head.

    The head itself is not used.

    Args:
        path: A folder that `dseg export` wrote.
        noun: What to look for; "object" for anything.
        base_model: Another base model, a folder or a hub id.
        device: As for `dseg.load`.

    Raises:
        DsegError: A folder is not what it should be, or as `load_pipeline`; the base model's text
            encoder has no room for the noun, or its U-Net no attention at the settings' strides.
    """
    folder = Path(path)
    config = read_config(folder)
    if base_model is None:
        place, revision = find_base(config.base_model, folder)
        identity = config.base_model.identity
    else:
        place, revision = base_model, None
        identity = model_identity(place, dtype=config.base_model.dtype)
    pipe = load_pipeline(place, revision=revision, dtype=config.base_model.dtype, device=device)
    about = _about(config, folder, "attentioncut", identity) | {"noun": noun}
    return Segmenter(AttentionCutMethod(config, noun, pipe), config.threshold, about)


def image_ids(images: np.ndarray) -> list[str]:
    """Ids of images by their pixels, so that an image's noise depends on nothing else."""
    return [hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest() for image in images]


def _about(config: HeadConfig, folder: Path, method: str, base: str | None) -> dict[str, Any]:
    return {
        "dseg": dseg.__version__,
        "method": method,
        "model": folder.name,
        "base_model": base,
        "threshold": config.threshold,
        "embedded": base in (None, config.base_model.identity) and config.training.embedded,
        "classes": list(config.training.classes),
    }
