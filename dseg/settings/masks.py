"""Settings of attention and of the masks that are made of it; a part of `dseg.settings.run`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from dseg.settings.fields import (
    DISTINCT,
    FROM_LIST,
    Count,
    Fraction,
    FractionRange,
    Fractions,
    NotNegative,
    Positive,
    Repeats,
    Section,
    Slug,
    Steps,
    Strides,
    Text,
    Width,
    some_keys_of,
)

TOLD, WRONG = "class", "wrong"  # nouns of a recording that are an image's own, or another's
MASK_RECORDING = "attentioncut-noise"  # mask methods start from it, or name another


Measure = Literal["noun", "share"]


class AttentionSettings(Section):
    cross_strides: Strides
    """Cross-attention resolutions to record, as strides relative to the latent grid."""
    affinity_stride: Count
    """Self-attention resolution, as a stride relative to the latent grid."""
    timesteps: FractionRange
    """Sampling steps within this range of fractions are averaged."""
    neighbours: Count
    """Largest entries kept of each row of the self-attention."""
    measure: Measure
    """What a cross map is: the attention that the noun draws, or its share of what noun and
    context together draw."""


class RecordingSettings(Section):
    timesteps: Fractions
    """Fractions at which attention on a given image is recorded and averaged."""
    noun: Text
    """Prompt noun: class, the image's own; wrong, another of prompts.classes; or a word for all
    images, such as object, which tells nothing."""
    context: Literal["border"] | None
    """What the prompt says the object is on: the word of the border's colour; null: nothing."""
    measure: Measure | None
    """What a cross map is; null: as in the section attention."""
    latents: Literal["noise", "inversion"]
    """How a given image gets to these timesteps."""
    inversion: Slug
    """The one of `inversions` whose latents are read, where they are inverted."""
    affinity_stride: Count | None
    """Self-attention resolution of given images; null: that of the section attention."""
    batch_size: Width
    """Images computed at once."""
    items_per_shard: Count
    """Images in a shard."""


class AttentionCutSettings(Section):
    cross_strides: Strides
    """Cross maps that make up the noun map, of those that were recorded."""
    exponent: Positive
    """Power of the noun map before all else; below 1 weak attention counts for more."""
    tau: Positive
    """Softness of the unary term around Otsu's threshold."""
    clip: Annotated[float, Field(gt=0, lt=0.5)]
    """Unary probabilities stay within [clip, 1 - clip]."""
    walk_steps: Repeats
    """Random-walk steps that spread the noun map along the affinity."""
    neighbours: Count
    """Affinity edges of each attention node."""
    power: Positive
    """Exponent that sharpens affinities."""
    lambda_self: NotNegative
    """Weight of self-attention edges."""
    lambda_contrast: NotNegative
    """Weight of colour-contrast edges between neighbouring pixels."""
    lambda_link: NotNegative
    """Weight of edges between a pixel and its attention node."""
    lambda_colour: NotNegative
    """Weight of the colour model that is estimated from the cut itself."""
    colour_iterations: Steps
    """Most cuts made where there is a colour term, each with the colours of the last one."""
    colour_bandwidth: Positive
    """Grey levels, of 256, within which the colour model takes colours for alike."""
    size: Annotated[int, Field(ge=0, le=4096)] | None
    """Longer side of the pixel layer of the graph; null: the image's; 0: no pixel layer."""
    area: FractionRange
    """Masks with another share of the image are dropped."""
    border: Fraction
    """Masks that cover a greater share of the image's border are dropped."""
    focus: NotNegative
    """Masks are dropped where the noun's mean attention inside, over outside, is below this."""


if TYPE_CHECKING:
    AttentionCutOverrides = Mapping[str, Any]
else:
    AttentionCutOverrides = some_keys_of(AttentionCutSettings)


class ImageMethodSettings(Section):
    method: Literal["otsu", "spectral-residual", "grabcut"]
    """How the mask is made from the image alone."""
    margin: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    """Of `grabcut`: what its rectangle leaves of each side at either end, as a share."""
    iterations: Steps = 5
    """Of `grabcut`: how often colours are fitted."""


class MaskMethodSettings(Section):
    method: Literal[
        "threshold",
        "otsu",
        "walk",
        "daam",
        "dataset-diffusion",
        "tokencut",
        "tokencut-noun",
        "diffcut",
        "grabcut",
        "attentioncut",
    ]
    """How the mask is made from the attention."""
    recording: Slug = MASK_RECORDING
    """The recording it starts from, of recordings or mask_recordings."""
    cross_strides: Annotated[tuple[Count, ...], FROM_LIST, DISTINCT] = ()
    """Cross maps it takes; none: those of attentioncut."""
    steps: Repeats = 1
    """Random-walk steps of `walk` and `grabcut`; the others do not read it."""
    exponent: Positive = 1.0
    """Power of the noun map, of `otsu`, `walk` and `grabcut`."""
    seeds: Annotated[tuple[Fraction, Fraction], FROM_LIST] = (0.5, 0.5)
    """Of `grabcut`: sure background below, sure object above; relative to Otsu's threshold."""
    iterations: Steps = 5
    """Of `grabcut`: how often colours are fitted."""
    attentioncut: AttentionCutOverrides = Field(default_factory=dict)
    """What it changes of the section attentioncut."""
