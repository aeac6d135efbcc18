"""One image seen from inside: the noun's cross map, the affinity from a point of it, its mask.

What the stages do for thousands of images, for one, and kept so that it can be looked at: nothing
is computed here that AttentionCut does not see, except views of its self-attention from one cell.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dseg.base_model.pipeline import encode, fit, timestep_at
from dseg.errors import DsegError
from dseg.method.attention import AttentionPlan
from dseg.method.cut.affinity import Affinity
from dseg.method.cut.attentioncut import Mask, attention_cut
from dseg.method.cut.evidence import Attention, AttentionMaps
from dseg.method.cut.filter import Reason
from dseg.method.ground import name_ground
from dseg.method.prompts import Phrase, context_span, noun_span
from dseg.method.recording import noised, noun_prompt, record
from dseg.method.synthesis import synthesise
from dseg.settings.masks import AttentionCutSettings

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline

GENERIC = "object"
# A tokenizer with fewer tokens was made for a list of words and spells the rest letter by letter;
# that of Stable Diffusion has 49,408.
CLOSED = 4096


@dataclass(frozen=True, eq=False)
class Attended:
    """An image with its attention.

    Attributes:
        image: uint8 (h, w, 3), at the model's size.
        phrase: The prompt under which the model saw it, with its noun.
        attention: The noun's cross maps and the self-attention of the same passes.
    """

    image: np.ndarray
    phrase: Phrase
    attention: Attention

    @property
    def noun(self) -> str:
        """The noun whose cross map it is."""
        return self.phrase.text[self.phrase.start : self.phrase.end]

    @property
    def peak(self) -> tuple[float, float]:
        """Where the noun attends most, as (x, y) in [0, 1): the middle of that position."""
        cross = self.attention.noun_map
        height, width = cross.shape
        row, column = np.unravel_index(int(cross.argmax()), cross.shape)
        return (int(column) + 0.5) / width, (int(row) + 0.5) / height


def attend(
    pipe: "StableDiffusionPipeline",
    image: np.ndarray,
    noun: str,
    *,
    fractions: Sequence[float],
    seed: int,
    plan: AttentionPlan,
    on_ground: bool = False,
) -> Attended:
    """Record the attention on a given image, noised to a few levels, as the stage `recording`.

    Args:
        pipe: The base model.
        image: uint8 (H, W, 3); brought to the model's size, which may change its aspect.
        noun: What to look for.
        fractions: Noise levels, as fractions of the training timesteps.
        seed: Of the noise.
        plan: What to record.
        on_ground: Whether the prompt says what the object is on, by the colour of the border.

    Raises:
        DsegError: The image has another type or shape, or as `dseg.method.recording.record`.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise DsegError(f"image is {image.dtype} {image.shape}: expected uint8 (H, W, 3)")
    small = fit(pipe, image)
    phrase = noun_prompt(noun, name_ground(small) if on_ground else None)
    timesteps = [timestep_at(pipe, fraction) for fraction in fractions]
    latents = noised(pipe, encode(pipe, np.stack([small])), [seed], timesteps)
    return _attended(small, phrase, record(pipe, latents, timesteps, [phrase], plan))


def imagine(
    pipe: "StableDiffusionPipeline",
    phrase: Phrase,
    *,
    seed: int,
    steps: int,
    guidance: float,
    window: tuple[float, float],
    plan: AttentionPlan,
) -> Attended:
    """Synthesise an image and record its attention on the way, as the stage `synthesis`.

    Args:
        pipe: The base model.
        phrase: The prompt with its noun.
        seed: Of the noise.
        steps: DDIM steps.
        guidance: Scale of classifier-free guidance.
        window: Range of fractions of the training timesteps in which attention is recorded.
        plan: What to record.

    Raises:
        DsegError: As `dseg.method.synthesis.synthesise`.
    """
    result = synthesise(
        pipe,
        [phrase.text],
        [noun_span(pipe.tokenizer, phrase)],
        [seed],
        steps=steps,
        guidance=guidance,
        record=window,
        plan=plan,
        contexts=[context_span(pipe.tokenizer, phrase)],
    )
    return _attended(result.images[0], phrase, result.attention)


def locate(text: str, nouns: Sequence[str], contexts: Sequence[str] = ()) -> Phrase:
    """A typed prompt with the first of ``nouns``, and of ``contexts``, that it has as a word.

    Raises:
        DsegError: It has none of them.
    """
    nouns = [noun.strip() for noun in nouns if noun.strip()]
    found, context = _find_word(text, nouns), _find_word(text, contexts)
    if found is not None:
        return Phrase(text, *found, context or (0, 0))
    raise DsegError(f"the prompt {text!r} has no noun to look for: expected {', '.join(nouns)}")


def _find_word(text: str, words: Sequence[str]) -> tuple[int, int] | None:
    for word in words:
        found = re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE)
        if found is not None:
            return found.span()
    return None


def known_nouns(tokenizer: Any, nouns: Sequence[str]) -> tuple[str, ...]:
    """Those of ``nouns`` that the tokenizer has a token for, and the generic noun if it has one.

    Empty where any noun may be known, because the vocabulary is a whole language's.
    """
    if len(tokenizer) >= CLOSED:
        return ()
    return tuple(noun for noun in (*nouns, GENERIC) if not unknown_words(tokenizer, noun))


def unknown_words(tokenizer: Any, text: str) -> list[str]:
    """Words of a text that a small vocabulary can only spell, in order; none for a large one."""
    if len(tokenizer) >= CLOSED:
        return []
    words = text.replace(",", " ").replace(".", " ").split()
    return [word for word in words if len(tokenizer.tokenize(word)) != 1]


def check_noun(tokenizer: Any, noun: str, known: Sequence[str]) -> None:
    """Raise DsegError if there is no noun, or the model's vocabulary does not have its words.

    Args:
        tokenizer: The model's.
        noun: What is to be looked for.
        known: What to name instead, see `known_nouns`.
    """
    if not noun.strip():
        raise DsegError("no noun: expected the word for what to look for")
    unknown = unknown_words(tokenizer, noun)
    if unknown:
        raise DsegError(
            f"the model has no word {unknown[0]!r}, only letters of it: expected one of "
            f"{', '.join(known)}"
        )


def cell_at(affinity: Affinity, point: tuple[float, float]) -> int:
    """The cell in which a point (x, y) of the image lies, both in [0, 1]."""
    height, width = affinity.shape
    row, column = int(point[1] * height), int(point[0] * width)
    return min(max(row, 0), height - 1) * width + min(max(column, 0), width - 1)


def attention_from(affinity: Affinity, cell: int, steps: int) -> np.ndarray:
    """Where a walker is after some steps from a cell: its row of A^steps.

    Args:
        affinity: Over N cells.
        cell: Where it starts.
        steps: One gives the cell's row of self-attention itself.

    Returns:
        float32 (h, w), >= 0, sums to 1.
    """
    start: np.ndarray = np.zeros(len(affinity.indices), dtype=np.float32)
    start[cell] = 1
    backwards = affinity.matrix().T
    for _ in range(steps):
        start = backwards @ start
    return start.reshape(affinity.shape)


def similarity_to(affinity: Affinity, cell: int) -> np.ndarray:
    """How alike the attention of a cell and of each other is: what weighs the edges of the cut.

    The Bhattacharyya coefficient b of `dseg.method.cut.affinity.similarity_edges`, to all cells.

    Returns:
        float32 (h, w) in [0, 1]; 1 at the cell itself.
    """
    # Not `affinity.matrix().sqrt()`: SciPy would sort the affinity's own rows in place.
    roots = replace(affinity, weights=np.sqrt(affinity.weights))
    own = np.zeros(len(roots.indices), dtype=np.float32)
    own[roots.indices[cell]] = roots.weights[cell]
    return (roots.matrix() @ own).reshape(affinity.shape)


def cut(attended: Attended, settings: AttentionCutSettings) -> Mask:
    """AttentionCut on an image with its attention."""
    return attention_cut(attended.attention, attended.image, settings)


def explain(reason: Reason, settings: AttentionCutSettings) -> str:
    """Why the filter drops a mask, in words with the setting's value; empty if it keeps it."""
    low, high = settings.area
    return {
        Reason.KEPT: "",
        Reason.TOO_SMALL: f"it covers less than {low:.0%} of the image",
        Reason.TOO_LARGE: f"it covers more than {high:.0%} of the image",
        Reason.BORDER: f"it covers more than {settings.border:.0%} of the image's border",
        Reason.UNFOCUSED: f"the noun attends inside less than {settings.focus:g} times as much as "
        "outside: it was not found",
    }[reason]


def _attended(image: np.ndarray, phrase: Phrase, maps: AttentionMaps) -> Attended:
    return Attended(image, phrase, maps.of_image(0, image.shape))
