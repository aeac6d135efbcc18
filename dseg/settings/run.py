"""Every setting, its type and its range: the schema of ``params.yaml``.

No field has a default: ``params.yaml`` is the one home of values. Fractions of the training
timesteps run from 0 (the clean image) to 1 (noise).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, StringConstraints, with_config
from typing_extensions import TypedDict  # pydantic refuses Python 3.11's own

from dseg.settings.fields import (
    DISTINCT,
    FROM_LIST,
    SOME,
    Classes,
    Count,
    Fraction,
    Fractions,
    NotNegative,
    Place,
    Positive,
    Repeats,
    Section,
    Slug,
    Steps,
    Strides,
    Text,
    Texts,
    Width,
    some_keys_of,
)
from dseg.settings.masks import (
    AttentionCutSettings,
    AttentionSettings,
    ImageMethodSettings,
    MaskMethodSettings,
    RecordingSettings,
)
from dseg.settings.merging import changed, entry
from dseg.settings.world import BaseSettings, InstrumentsSettings, WorldSettings

Protocol = Literal["tokencut", "selfmask", "pysod", "curve"]
Mode = Literal["multi", "single"]
Postprocessing = Literal["none", "cut", "bilateral-tokencut", "bilateral-found"]
WORLD = "world/"
ATTENTIONCUT = "attentioncut"  # the masks of the stage; those of other mask methods are made beside
ORACLE_MASKS = "oracle"  # of the instrument
TRUE_MASKS = "true"  # of renders, which alone have them
RENDERS = "renders"  # rendered instead of synthesised


class ModelSettings(Section):
    path: Place
    """Base model: a folder of a diffusers pipeline or an id on the hub."""
    revision: Text | None
    """Commit of a hub model; null for a folder."""
    dtype: Literal["float32", "float16", "bfloat16"]
    """Type the networks compute in."""
    device: Annotated[str, StringConstraints(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")]
    """Where they run; auto takes a GPU if there is one, cuda waits for one of its own."""


class BenchmarkSettings(Section):
    layout: Literal["saliency", "voc", "coco"]
    """How files lie and what is scored: masks (saliency) or boxes (voc, coco)."""
    root: Place
    """Folder; under artifacts/<profile> where it starts with world/."""
    images: Count
    """Number of images it must have."""
    named: bool = True
    """Whether something says what its images show; recordings that tell it leave others out."""
    limit: Count | None = None
    """At most so many of them are taken, evenly spaced in the order of ids; null: all."""

    @property
    def taken(self) -> int:
        """Number of images that are taken."""
        return self.images if self.limit is None else min(self.limit, self.images)


class PromptsSettings(Section):
    classes: Classes
    """Object nouns, or the file that lists them."""
    templates: Annotated[Texts, SOME]
    """Sentences with {noun} and, if wanted, {context} and {article}, a or an."""
    contexts: Texts
    """What {context} stands for."""
    count: Count
    """Number of prompts, and so of synthetic images."""


class SynthesisSettings(Section):
    steps: Steps
    """DDIM sampling steps."""
    guidance: NotNegative
    """Scale of classifier-free guidance."""
    batch_size: Width
    """Images computed at once; changes no image."""
    items_per_shard: Count
    """Images in a shard: a job."""
    limit: Count | None
    """Only the images of the first so many prompts; null: of all."""


class InversionSettings(Section):
    steps: Steps
    """DDIM steps over all training timesteps."""
    timesteps: Fractions
    """Fractions at which latents are kept."""
    prompt: str
    """Caption during the inversion; empty is unconditional, {noun} the image's class."""
    fixed_point: Repeats
    """Fixed-point iterations a step; 0 is plain DDIM inversion."""
    batch_size: Width
    """Images computed at once."""
    items_per_shard: Count
    """Images in a shard."""


class FeaturesSettings(Section):
    source: Literal["inversion", "noise", "clean"]
    """Latents the U-Net reads: inverted, noised, or the encoded image."""
    inversion: Slug
    """The one of `inversions` whose latents these are, or are made from."""
    timesteps: Fractions
    """Fractions at which features are taken."""
    strides: Strides
    """Decoder resolutions, as strides relative to the latent grid."""
    maps: Annotated[tuple[Literal["decoder", "attention"], ...], FROM_LIST, SOME, DISTINCT]
    """What is read: hidden states of the decoder, attention maps, or both."""
    weights: Literal["trained", "random"]
    """Weights of the U-Net; random ones tell what its layout alone is worth."""
    prompt: str
    """Caption given to the U-Net; {noun} is the image's class."""
    components: Count | None
    """Principal components kept of each map while a head is trained; null: all channels."""


class HeadSettings(Section):
    input: Literal["features", "rgb"]
    """What the head sees: U-Net features, or the image alone (baseline)."""
    architecture: Literal["linear", "conv", "multi"]
    """Head on features: a linear map, convolutions on their grid, or with a branch on pixels."""
    pixels: bool
    """Whether the branch on pixels of `multi` is there."""
    width: Width
    """Channels of the hidden layers."""
    epochs: Count
    """Passes over the training pairs."""
    batch_size: Width
    """Pairs in a training step."""
    learning_rate: Positive
    """Peak learning rate."""
    loss: Literal["bce", "dice", "bce-dice"]
    """Binary cross-entropy, soft Dice, or their sum."""
    seeds: Count
    """Trainings, which differ in first weights, order and split of the same pairs."""
    synthesis: Slug
    """The one of `syntheses` whose images are learnt. Figures and counts of masks are of the one
    that this section names."""
    masks: Slug
    """Whose masks are learnt: attentioncut, another of `mask_methods`, oracle, or renders' true."""
    filter: bool
    """Whether pairs whose mask the filter dropped are left out."""
    validation_fraction: Annotated[float, Field(ge=0, lt=1)]
    """Share of the pairs held out to choose the epoch."""
    prompts: Count | None
    """Pairs are chosen among those of the first so many prompts; null: of all."""
    pairs: Count | None
    """Number of training pairs; null takes all that were kept."""


if TYPE_CHECKING:
    FeaturesOverrides = Mapping[str, Any]
    HeadOverrides = Mapping[str, Any]
else:
    FeaturesOverrides = some_keys_of(FeaturesSettings)
    HeadOverrides = some_keys_of(HeadSettings)


@with_config(Section.model_config)
class VariantSettings(TypedDict, total=False):
    """What one trained head has different from the sections features and head."""

    features: FeaturesOverrides
    head: HeadOverrides


if TYPE_CHECKING:
    SynthesisOverrides = Mapping[str, Any]
    RecordingOverrides = Mapping[str, Any]
    InversionOverrides = Mapping[str, Any]
else:
    SynthesisOverrides = some_keys_of(SynthesisSettings)
    RecordingOverrides = some_keys_of(RecordingSettings)
    InversionOverrides = some_keys_of(InversionSettings)


class EvaluationSettings(Section):
    protocols: Annotated[tuple[Protocol, ...], FROM_LIST, SOME, DISTINCT]
    """Metric protocols to compute."""
    protocol: Protocol
    """The one that tables and figures show."""
    modes: Annotated[tuple[Mode, ...], FROM_LIST, SOME, DISTINCT]
    """What of a mask is scored: all of the soft map (multi), one component (single)."""
    mode: Mode
    """The one that tables and figures show."""
    postprocessing: Annotated[tuple[Postprocessing, ...], FROM_LIST, SOME, DISTINCT]
    """What is done to masks before they are scored; tables and figures show none."""
    postprocessed: Annotated[tuple[Slug, ...], FROM_LIST, DISTINCT] | None
    """Methods scored after every post-processing and in every mode, the others as they are shown;
    null: all."""
    truth: Literal["protocol", "half"]
    """Where grey true masks are cut: as the protocol's code does, or above one half in all."""
    box: Literal["largest", "all"]
    """Component of the mask that the predicted box encloses."""
    difficult: Literal["keep", "drop"]
    """True boxes of VOC objects marked difficult or truncated."""
    crowd: Literal["keep", "drop"]
    """True boxes of COCO annotations that are crowds."""
    threshold: Fraction
    """Soft masks above this are foreground."""


class TrackingSettings(Section):
    experiment: Text
    """MLflow experiment that runs are logged to."""


class Settings(Section):
    """All settings of a run."""

    profile: Slug
    """Name of the run: artifacts/<profile>, results/<profile>."""
    seed: Annotated[int, Field(ge=0, lt=2**31)]
    """Run seed, from which every item's seed follows."""
    model: ModelSettings
    world: WorldSettings
    benchmarks: Annotated[Mapping[Slug, BenchmarkSettings], Field(min_length=1)]
    """Sets of images to evaluate on, by name."""
    prompts: PromptsSettings
    synthesis: SynthesisSettings
    attention: AttentionSettings
    recording: RecordingSettings
    attentioncut: AttentionCutSettings
    inversion: InversionSettings
    features: FeaturesSettings
    head: HeadSettings
    syntheses: Annotated[Mapping[Slug, SynthesisOverrides], Field(min_length=1)]
    """Sets of images to train on, by name, each as what it changes of synthesis; renders: rendered
    ones, with their true masks."""
    recordings: Annotated[Mapping[Slug, RecordingOverrides], Field(min_length=1)]
    """Ways to record attention on given images, each as what it changes of recording."""
    inversions: Annotated[Mapping[Slug, InversionOverrides], Field(min_length=1)]
    """Ways to invert images, by name, each as what it changes of inversion."""
    image_methods: Mapping[Slug, ImageMethodSettings]
    """Ways to make a mask from the image alone, by name: rivals without a model."""
    mask_recordings: Mapping[Slug, RecordingOverrides]
    """Further recordings, as what each changes of recording: only mask methods start from them."""
    mask_methods: Annotated[Mapping[Slug, MaskMethodSettings], Field(min_length=1)]
    """Ways to make a mask from attention, by name: rows of the table of mask methods."""
    variants: Annotated[Mapping[Slug, VariantSettings], Field(min_length=1)]
    """Heads to train, by name, each as what it changes of features and head."""
    evaluation: EvaluationSettings
    tracking: TrackingSettings
    instruments: InstrumentsSettings
    base: BaseSettings

    def variant(self, name: str) -> tuple[FeaturesSettings, HeadSettings]:
        """Features and head of variant ``name``, its overrides merged in; DsegError if unknown."""
        changes = entry("variant", self.variants, name)
        features, head = changes.get("features", {}), changes.get("head", {})
        return changed(self.features, features), changed(self.head, head)

    def synthesised(self, name: str) -> SynthesisSettings:
        """The section synthesis as synthesis ``name`` changes it; DsegError if unknown."""
        return changed(self.synthesis, entry("synthesis", self.syntheses, name))

    def images_of(self, synthesis: str) -> int:
        """Images of a synthesis: one for each prompt, up to its limit; DsegError if unknown."""
        count = self.prompts.count
        return min(count, self.synthesised(synthesis).limit or count)

    def recorded(self, name: str) -> RecordingSettings:
        """The section recording as recording ``name`` changes it; DsegError if unknown."""
        known = {**self.recordings, **self.mask_recordings}
        return changed(self.recording, entry("recording", known, name))

    def inverted(self, name: str) -> InversionSettings:
        """The section inversion as inversion ``name`` changes it; DsegError if unknown."""
        return changed(self.inversion, entry("inversion", self.inversions, name))

    def mask_method(self, name: str) -> tuple[MaskMethodSettings, AttentionCutSettings]:
        """Mask method ``name``, and the section attentioncut as it changes it.

        Raises:
            DsegError: There is no such method.
        """
        method = entry("mask method", self.mask_methods, name)
        return method, changed(self.attentioncut, method.attentioncut)

    def image_method(self, name: str) -> ImageMethodSettings:
        """Image method ``name``; raises DsegError if there is none."""
        return entry("image method", self.image_methods, name)

    def mask_strides(self, name: str) -> tuple[int, ...]:
        """The cross maps that mask method ``name`` takes; raises DsegError if there is none."""
        method, cut = self.mask_method(name)
        return method.cross_strides or cut.cross_strides

    def benchmark(self, name: str) -> BenchmarkSettings:
        """The benchmark ``name``; raises DsegError if there is none."""
        return entry("benchmark", self.benchmarks, name)
