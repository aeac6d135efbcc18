"""What the page knows how to do, without the page: from an image or a prompt to panels and text."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image

from dseg.base_model.pipeline import fit, image_size, stretch
from dseg.datasets.class_names import names_of
from dseg.demo import pictures
from dseg.errors import DsegError
from dseg.evaluation.boxes import components
from dseg.method.attention import AttentionPlan
from dseg.method.prompts import fill, item_seed
from dseg.method.resample import resize
from dseg.photos.inspection import (
    Attended,
    attend,
    attention_from,
    cell_at,
    check_noun,
    cut,
    explain,
    imagine,
    known_nouns,
    locate,
    similarity_to,
    unknown_words,
)
from dseg.photos.methods import image_ids
from dseg.photos.segmenter import LEAST_AREA, Segmenter
from dseg.settings.run import Settings
from dseg.world.renderer import annotated_scenes

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline

# Views of the affinity: what the page calls each, and the steps of the walk, or None.
VIEWS: dict[str, int | None] = {
    "similar attention": None,
    "attention": 1,
    "walk of 3 steps": 3,
}
# Settings of the cut that the page lets one change: its name there.
WEIGHTS = {
    "lambda_self": "self-attention",
    "lambda_colour": "colour",
    "lambda_contrast": "contrast",
    "tau": "softness",
}
# Examples from the domain that the embedded model was trained on, and from the shifted one.
RENDERS: dict[Literal["train", "shift"], int] = {"train": 6, "shift": 2}
_TOLD = 2  # boxes that the text names: those of the largest parts
_LARGEST = 1024  # pixels of the longer side that are kept of an image: no panel shows more
# Characters of a prompt or noun (our choice): more than any text encoder here has tokens for, and
# few enough to be split into tokens at once.
_LONGEST = 300


@dataclass(frozen=True, eq=False)
class Look:
    """An image that is being looked at.

    Attributes:
        image: uint8 (H, W, 3) as given, but reduced to what a panel shows.
        attended: The image as given at the model's size, with its attention.
        fitted: The image as given at the head's size, uint8 (h, w, 3); at the model's where there
            is no head.
        point: (x, y) in [0, 1], where the affinity is taken from.
        origin: How the attention came about, for the reader.
    """

    image: np.ndarray
    attended: Attended
    fitted: np.ndarray
    point: tuple[float, float]
    origin: str


@dataclass(frozen=True, eq=False)
class Found:
    """What a method finds in an image.

    Attributes:
        mask: bool (h, w), of any resolution.
        boxes: One for each connected part, x0, y0, x1, y1 in pixels of the look's image.
        kept: Whether the filter keeps it; where there is no filter, it does.
        judgement: What the filter says, for the reader; empty where there is none.
        how: What made the mask and how long it took, for the reader.
    """

    mask: np.ndarray
    boxes: Sequence[Sequence[int]]
    kept: bool
    judgement: str
    how: str


class Viewer:
    """A base model, and a head if there is one, that images are looked at with."""

    def __init__(
        self,
        pipe: "StableDiffusionPipeline",
        settings: Settings,
        segmenter: Segmenter | None = None,
    ) -> None:
        """Look with `pipe`; everything else as in the settings of a run."""
        self.pipe = pipe
        self.settings = settings
        self.segmenter = segmenter
        attention = settings.attention
        # Of the resolutions that a run records, those that the cut reads.
        self.plan = AttentionPlan(
            settings.attentioncut.cross_strides,
            attention.affinity_stride,
            attention.neighbours,
            share=attention.measure == "share",
        )

    @cached_property
    def nouns(self) -> tuple[str, ...]:
        """Nouns the model knows; empty where its vocabulary is a whole language's."""
        return known_nouns(self.pipe.tokenizer, self.classes)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Nouns of the settings; DsegError if their file is missing."""
        return names_of(self.settings.prompts.classes)

    def prompt(self, noun: str) -> str:
        """A prompt of the settings, for a noun."""
        prompts = self.settings.prompts
        context = prompts.contexts[0] if prompts.contexts else ""
        return fill(prompts.templates[0], noun, context).text

    def renders(self, page: int) -> list[tuple[np.ndarray, str]]:
        """Images of the embedded world with their nouns, others for each page; the last shifted."""
        world, scenes = self.settings.world, []
        for domain, count in RENDERS.items():
            seed = item_seed(self.settings.seed, f"demo-{page}-{domain}")
            strength = world.shift_strength
            scenes.append(
                annotated_scenes(
                    count, seed, size=world.size, domain=domain, shift_strength=strength
                )
            )
        return [pair for each in scenes for pair in zip(each.images, each.kinds, strict=True)]

    def look(self, image: np.ndarray, noun: str) -> Look:
        """Look for a noun in a given image uint8 (H, W, 3).

        Raises:
            DsegError: There is no noun, it is too long, the model does not know it, or as `attend`.
        """
        small = fit(self.pipe, image)
        attended, origin = self._attend(small, noun)
        fitted = stretch(image, self._head_size)
        return Look(_reduced(image), attended, fitted, attended.peak, origin)

    def look_again(self, look: Look, noun: str) -> Look:
        """Look for another noun in the same image: as `look` does in the image as given."""
        attended, origin = self._attend(look.attended.image, noun)
        return replace(look, attended=attended, point=attended.peak, origin=origin)

    def imagine(self, prompt: str, noun: str, seed: int) -> tuple[Look, list[str]]:
        """Synthesise an image; also the words of the prompt that the model does not know.

        The noun is ``noun`` if the prompt has it and the model knows it, else another of those
        that it knows.

        Raises:
            DsegError: Prompt or noun is too long, the prompt has no noun that the model knows, or
                as `dseg.photos.inspection.imagine`.
        """
        _check_length("prompt", prompt)
        _check_length("noun", noun)
        tokenizer = self.pipe.tokenizer
        wanted = [] if unknown_words(tokenizer, noun) else [noun]
        phrase = locate(prompt.strip(), [*wanted, *self.nouns], self.settings.prompts.contexts)
        synthesis, window = self.settings.synthesis, self.settings.attention.timesteps
        start = time.perf_counter()
        attended = imagine(
            self.pipe,
            phrase,
            seed=seed,
            steps=synthesis.steps,
            guidance=synthesis.guidance,
            window=window,
            plan=self.plan,
        )
        seconds = time.perf_counter() - start
        origin = (
            f"Image and attention: synthesised from “{phrase.text}”, seed {seed}, "
            f"{synthesis.steps} steps, {seconds:.2f} s."
        )
        unknown = unknown_words(tokenizer, phrase.text)
        fitted = stretch(attended.image, self._head_size)
        return Look(attended.image, attended, fitted, attended.peak, origin), unknown

    def find(self, look: Look, weights: Mapping[str, float]) -> Found:
        """AttentionCut, with some of its settings changed."""
        settings = self.settings.attentioncut.model_copy(update=dict(weights))
        start = time.perf_counter()
        mask = cut(look.attended, settings)
        seconds = time.perf_counter() - start
        reason = explain(mask.reason, settings)
        return Found(
            mask.mask,
            _boxes(resize(mask.soft, look.image.shape[:2]), 0.5),
            mask.kept,
            f"**Dropped**: {reason}." if reason else "**Kept.**",
            f"AttentionCut: {seconds:.2f} s.",
        )

    def predict(self, look: Look) -> Found:
        """The trained head, which is told no noun and has no filter."""
        assert self.segmenter is not None  # the page offers it only where there is one
        start = time.perf_counter()
        (result,) = self.segmenter.segment([look.fitted])
        seconds = time.perf_counter() - start
        soft, threshold = resize(result.soft, look.image.shape[:2]), self.segmenter.threshold
        how = f"Trained head: {seconds:.2f} s."
        return Found(soft > threshold, _boxes(soft, threshold), True, "", how)

    @property
    def _head_size(self) -> tuple[int, int]:
        return self.segmenter.method.size if self.segmenter else image_size(self.pipe)

    def _attend(self, small: np.ndarray, noun: str) -> tuple[Attended, str]:
        """An image at the model's size with its attention, and how it came about."""
        _check_length("noun", noun)
        noun = noun.strip()
        check_noun(self.pipe.tokenizer, noun, self.nouns)
        recording = self.settings.recording
        fractions, measure = recording.timesteps, recording.measure
        # As `dseg segment` has it: the same image gets the same mask.
        (name,) = image_ids(small[None])
        seed = item_seed(self.settings.seed, name)
        start = time.perf_counter()
        attended = attend(
            self.pipe,
            small,
            noun,
            fractions=fractions,
            seed=seed,
            plan=self.plan if measure is None else replace(self.plan, share=measure == "share"),
            on_ground=recording.context is not None,
        )
        seconds = time.perf_counter() - start
        levels = ", ".join(f"{fraction:g}" for fraction in fractions)
        return attended, (
            f"Attention: prompt “{attended.phrase.text}” on the image noised to {levels}, "
            f"{seconds:.2f} s."
        )


def at_point(look: Look, pixel: Sequence[float]) -> Look:
    """The same look with the affinity from a pixel (x, y) of its pictures."""
    height, width = pictures.canvas(look.image)
    return replace(look, point=((pixel[0] + 0.5) / width, (pixel[1] + 0.5) / height))


def image_panel(look: Look, found: Found) -> np.ndarray:
    """The image with the boxes of what was found and the point."""
    picture = pictures.boxed(_plain(look), found.boxes, look.image.shape[:2])
    return pictures.marked(picture, look.point)


def cross_panel(look: Look) -> np.ndarray:
    """The noun's cross map over the image."""
    cross = look.attended.attention.noun_map
    return pictures.heat(_plain(look), cross, float(cross.max()))


def affinity_panel(look: Look, view: str) -> np.ndarray:
    """The self-attention of the point's cell over the image, in a view of `VIEWS`."""
    affinity, steps = look.attended.attention.affinity, VIEWS[view]
    cell = cell_at(affinity, look.point)
    values = (
        similarity_to(affinity, cell) if steps is None else attention_from(affinity, cell, steps)
    )
    picture = pictures.heat(_plain(look), values, float(values.max()))
    return pictures.marked(picture, look.point)


def mask_panel(look: Look, found: Found) -> np.ndarray:
    """The image paled outside the mask."""
    return pictures.outlined(_plain(look), found.mask, found.kept)


def verdict(look: Look, found: Found) -> str:
    """What was found, in Markdown: kept or dropped and why, area, boxes, seconds."""
    share = f"{100 * float(found.mask.mean()):.1f} %"
    height, width = look.image.shape[:2]
    boxes = [f"({x0}, {y0}) to ({x1}, {y1})" for x0, y0, x1, y1 in found.boxes[:_TOLD]]
    if len(found.boxes) > _TOLD:
        boxes.append(f"{len(found.boxes) - _TOLD} smaller ones")
    word = "box" if len(found.boxes) == 1 else "boxes"
    where = f"{word} in {width} × {height} pixels: {', '.join(boxes)}" if boxes else "no box"
    return f"{found.judgement} The mask covers {share} of the image; {where}.\n\n" + (
        f"{found.how} {look.origin}"
    )


def _boxes(soft: np.ndarray, threshold: float) -> list[tuple[int, int, int, int]]:
    """Boxes of the parts of a soft mask (H, W), in its pixels."""
    return [part.box for part in components(soft > threshold, soft, LEAST_AREA)]


def _check_length(what: str, text: str) -> None:
    """Raise DsegError if a text is too long to be looked at."""
    if len(text) > _LONGEST:
        raise DsegError(f"the {what} has {len(text):,} characters: expected {_LONGEST} at the most")


def _plain(look: Look) -> np.ndarray:
    return pictures.plain(look.image, pictures.canvas(look.image))


def _reduced(image: np.ndarray) -> np.ndarray:
    longest = max(image.shape[:2])
    if longest <= _LARGEST:
        return image
    size = [max(1, round(side * _LARGEST / longest)) for side in image.shape[1::-1]]
    return np.asarray(Image.fromarray(image).resize((size[0], size[1]), Image.Resampling.LANCZOS))
