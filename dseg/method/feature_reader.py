"""Latents of images -> features of the base model, as a head reads them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor

from dseg.base_model.pipeline import alphas_cumprod, embed_each, train_timesteps
from dseg.errors import DsegError
from dseg.method.attention import noun_columns
from dseg.method.features import attention_features, decoder_features, untrained
from dseg.method.inversion import noise_to, snap
from dseg.method.prompts import Phrase, captions, item_seed, noun_span
from dseg.progress import track
from dseg.settings.run import FeaturesSettings, InversionSettings

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline, UNet2DConditionModel


class Latents(Protocol):
    """Latents (n, T, C, h, w): an array, or something that reads rows from disk when asked."""

    def __getitem__(self, rows: slice, /) -> np.ndarray: ...


@dataclass(frozen=True, eq=False)
class FeatureReader:
    """A base model, and how its features are read.

    Timesteps lie on the grid of the inversion whatever the source of the latents, so that the
    sources differ in nothing else.

    Attributes:
        pipe: The base model.
        features: Source, timesteps, strides, maps and weights.
        inversion: Grid, timesteps at which latents are known, and batch size.
        seed: Of the run; an item's noise follows from it and the id.
    """

    pipe: "StableDiffusionPipeline"
    features: FeaturesSettings
    inversion: InversionSettings
    seed: int

    def all(
        self, latents: Latents, ids: Sequence[str], said: Sequence[Phrase], label: str
    ) -> tuple[Tensor, ...]:
        """`batches` of all items as one, in memory: bound their number for large models."""
        batches = self.batches(latents, ids, said, label)
        return tuple(torch.cat(values) for values in zip(*batches, strict=True))

    def batches(
        self, latents: Latents, ids: Sequence[str], said: Sequence[Phrase], label: str
    ) -> Iterator[tuple[Tensor, ...]]:
        """`batch` by batch, of `inversion.batch_size` items.

        Args:
            latents: (n, T, C, h, w), at `inversion.timesteps`.
            ids: Ids of the n items.
            said: The caption of each item.
            label: What the progress is of.
        """
        for start in track(range(0, len(ids), self.inversion.batch_size), label):
            rows = slice(start, start + self.inversion.batch_size)
            yield self.batch(latents[rows], ids[rows], said[rows])

    def batch(
        self, latents: np.ndarray, ids: Sequence[str], said: Sequence[Phrase] | None = None
    ) -> tuple[Tensor, ...]:
        """Features of some items: one U-Net pass for each timestep of `features.timesteps`.

        Args:
            latents: float16 (B, T, C, h, w), at `inversion.timesteps`.
            ids: Ids of the items.
            said: The caption of each; left out, `features.prompt` is said of all.

        Returns:
            For each stride, in order, if the decoder is among the maps, then attention at the
            first stride if that is: float16 (B, timesteps * channels, h / stride, w / stride), on
            the CPU.

        Raises:
            DsegError: The latents wanted were not kept, or the decoder lacks a stride.
        """
        features, pipe = self.features, self.pipe
        states, timesteps = self._states(latents, ids)
        if said is None:
            said = captions(features.prompt, [None] * len(ids))
        context = embed_each(pipe, [phrase.text for phrase in said])
        maps: tuple[Tensor, ...] = ()
        if "decoder" in features.maps:
            maps = decoder_features(self._unet, states, timesteps, features.strides, context)
        if "attention" in features.maps:
            spans = [noun_span(pipe.tokenizer, phrase) for phrase in said]
            nouns = noun_columns(spans, context.shape[1])
            stride = features.strides[0]
            maps += (attention_features(self._unet, states, timesteps, stride, context, nouns),)
        return tuple(values.to("cpu", torch.float16) for values in maps)

    def _states(self, latents: np.ndarray, ids: Sequence[str]) -> tuple[Tensor, list[int]]:
        """What the U-Net is given, float32 (timesteps, B, C, h, w), and the timesteps."""
        features, kept = self.features, self.inversion.timesteps
        if latents.shape[1] != len(kept):
            raise DsegError(
                f"latents at {latents.shape[1]} timesteps, but inversion.timesteps are "
                f"{list(kept)}: run the stage inversion again"
            )
        wanted = latents_wanted(features)
        absent = [fraction for fraction in wanted if fraction not in kept]
        if absent:
            raise DsegError(
                f"inversion.timesteps: {list(kept)}, expected {absent[0]} among them, which "
                f"features of source {features.source} are made from"
            )
        count = train_timesteps(self.pipe)
        timesteps = [snap(fraction, self.inversion.steps, count) for fraction in features.timesteps]
        columns = [kept.index(fraction) for fraction in wanted]
        states = torch.from_numpy(latents[:, columns]).float().transpose(0, 1)
        if features.source == "clean":
            states = states.expand(len(timesteps), *states.shape[1:])
        elif features.source == "noise":
            # Not the seed of synthesis: its noise is what an inverted image should lead back to.
            seeds = [item_seed(self.seed, f"{item}:features") for item in ids]
            alphas = alphas_cumprod(self.pipe)
            states = torch.stack([noise_to(states[0], float(alphas[t]), seeds) for t in timesteps])
        return states, timesteps

    @cached_property
    def _unet(self) -> "UNet2DConditionModel":
        unet = self.pipe.unet
        return untrained(unet, self.seed) if self.features.weights == "random" else unet


def latents_wanted(features: FeaturesSettings) -> tuple[float, ...]:
    """Fractions at which the latents must be known that features are made from."""
    return features.timesteps if features.source == "inversion" else (0.0,)
