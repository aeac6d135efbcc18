"""What a run will cost, counted from its settings: jobs, passes of the U-Net, hours and bytes.

Counts are exact, except that every mask is taken to be kept, so that heads see no more pairs than
counted. Hours are counts times `calibration.Rates`, which somebody has to have measured; of
masks by other methods than AttentionCut, round trips, evaluation, tables and figures no time is
counted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from dseg.artifacts.shards import shard_count
from dseg.method.inversion import grid, snap
from dseg.orchestration.calibration import Rates
from dseg.settings.run import (
    MAIN_MASKS,
    MAIN_SYNTHESIS,
    ORACLE_MASKS,
    RENDERS,
    FeaturesSettings,
    InversionSettings,
    Settings,
    SynthesisSettings,
)

UNET = ("sampling", "recording", "passing", "describing", "looking")
ON_CPU = ("cutting",)
TRAINING = ("training", "training_rgb")


@dataclass(frozen=True)
class Geometry:
    """Sizes of a base model.

    Attributes:
        image: Height and width of its images.
        latents: Channels, height and width of its latents.
        channels: Channels of the decoder's feature map at each stride.
        train_timesteps: Of its noise schedule.
    """

    image: tuple[int, int]
    latents: tuple[int, int, int]
    channels: Mapping[int, int]
    train_timesteps: int


@dataclass(frozen=True)
class Stage:
    """Work of one stage.

    Attributes:
        name: As its folder of artifacts.
        jobs: Snakemake's.
        images: Images that something is computed of, each as often as it is.
        work: How many of each rate of `Rates`.
        size: Bytes that stay.
        scratch: Bytes that one job holds on disk while it runs.
        guided: Whether its U-Net steps are of two passes.
    """

    name: str
    jobs: int
    images: int
    work: Mapping[str, int] = field(default_factory=dict)
    size: int = 0
    scratch: int = 0
    guided: bool = False

    @property
    def passes(self) -> int:
        """Passes of the U-Net, of one image each."""
        steps = sum(count for name, count in self.work.items() if name in UNET)
        return steps * (2 if self.guided else 1)

    def gpu_hours(self, rates: Rates) -> float:
        """Hours of one device with the networks, the model's loading in every job included."""
        on_device = {name: n for name, n in self.work.items() if name not in ON_CPU}
        loads = self.jobs if any(name not in TRAINING for name in on_device) else 0
        return (_seconds(on_device, rates) + loads * rates.loading) / 3600

    def core_hours(self, rates: Rates) -> float:
        """Hours of one core, for what no network does."""
        work = {name: count for name, count in self.work.items() if name in ON_CPU}
        return _seconds(work, rates) / 3600


def count_stages(
    settings: Settings,
    geometry: Geometry,
    benchmarks_of: Mapping[str, Sequence[str]],
    inverted: Sequence[tuple[str, str]],
) -> list[Stage]:
    """The stages of a run in the order of the method.

    Args:
        settings: All of them.
        geometry: Of the base model.
        benchmarks_of: The benchmarks on which each recording and each variant is run.
        inverted: Which benchmarks are inverted, and how: (name of the inversion, benchmark).
    """
    images = {name: benchmark.taken for name, benchmark in settings.benchmarks.items()}
    count = settings.images_of(MAIN_SYNTHESIS)
    on_benchmarks = [
        (settings.inverted(name), images[benchmark], settings.inverted(name).items_per_shard)
        for name, benchmark in inverted
    ]
    return [
        _synthesis(settings.synthesis, settings, geometry, count),
        _masks("masks", [(count, settings.synthesis.items_per_shard)], geometry),
        *_mask_sets(settings, geometry),
        _inversion(geometry, "inversion", _inverted_images(settings, MAIN_SYNTHESIS)),
        *_further_syntheses(settings, geometry),
        _inversion(geometry, "benchmark_inversion", on_benchmarks),
        _recording(settings, geometry, benchmarks_of, images),
        _masks(
            "recording_masks",
            [
                (images[benchmark], settings.recording.items_per_shard)
                for name in settings.recordings
                for benchmark in benchmarks_of[name]
            ],
            geometry,
        ),
        _head(settings, geometry),
        _predictions(settings, geometry, benchmarks_of, images),
    ]


def _in_shards(settings: Settings, synthesis: str, first: int | None) -> int:
    """Images of the shards that hold the first so many of a synthesis; None: of all."""
    per_shard = settings.synthesised(synthesis).items_per_shard
    count = settings.images_of(synthesis)
    return min(count, per_shard * shard_count(count if first is None else first, per_shard))


def _inverted_images(
    settings: Settings, synthesis: str
) -> list[tuple[InversionSettings, int, int]]:
    """Of every inversion that some head reads of a synthesis: how, images, images in a shard."""
    most: dict[str, int] = {}
    for name in settings.variants:
        features, head = settings.variant(name)
        if head.input == "features" and head.synthesis == synthesis:
            count = _in_shards(settings, synthesis, head.prompts)
            most[features.inversion] = max(count, most.get(features.inversion, 0))
    per_shard = settings.synthesised(synthesis).items_per_shard
    return [(settings.inverted(name), most[name], per_shard) for name in sorted(most)]


def _further_syntheses(settings: Settings, geometry: Geometry) -> list[Stage]:
    """Images, masks and latents of other syntheses, as far as a head learns from them."""
    learnt = {settings.variant(name)[1].synthesis for name in settings.variants}
    names = sorted(learnt & {*settings.syntheses})
    drawn = [name for name in names if name != RENDERS]
    stages = [
        replace(
            _synthesis(settings.synthesised(name), settings, geometry, settings.images_of(name)),
            name=f"syntheses/{name}",
        )
        for name in drawn
    ]
    runs = [run for name in names for run in _inverted_images(settings, name)]
    if drawn:
        cut = [(settings.images_of(n), settings.synthesised(n).items_per_shard) for n in drawn]
        stages.append(_masks("syntheses_masks", cut, geometry))
    if runs:
        stages.append(_inversion(geometry, "syntheses_inversion", runs))
    return stages


def _synthesis(
    chosen: SynthesisSettings, settings: Settings, geometry: Geometry, count: int
) -> Stage:
    low, high = settings.attention.timesteps
    total = geometry.train_timesteps
    # As DDIM spaces them, up to the offset of one timestep.
    timesteps = [index * (total // chosen.steps) for index in range(chosen.steps)]
    recorded = sum(low * total <= timestep + 1 <= high * total for timestep in timesteps)
    return Stage(
        "synthesis",
        shard_count(count, chosen.items_per_shard),
        count,
        {
            "sampling": count * (chosen.steps - recorded),
            "recording": count * recorded,
            "decoding": count,
        },
        count * (_image(geometry) + _attention(settings, geometry)),
        guided=chosen.guidance > 1,
    )


def _masks(name: str, runs: Sequence[tuple[int, int]], geometry: Geometry) -> Stage:
    """Of runs as (number of images, images in a shard)."""
    # A bool and a float16 for each pixel.
    size = 3 * geometry.image[0] * geometry.image[1]
    jobs = sum(shard_count(count, per_shard) for count, per_shard in runs)
    images = sum(count for count, _ in runs)
    return Stage(name, jobs, images, {"cutting": images}, images * size)


def _mask_sets(settings: Settings, geometry: Geometry) -> list[Stage]:
    """The masks of other methods that some head learns or that judge others; often none."""
    most: dict[str, int] = {}
    for name in settings.variants:
        head = settings.variant(name)[1]
        if head.synthesis == MAIN_SYNTHESIS and head.masks != MAIN_MASKS:
            count = _in_shards(settings, MAIN_SYNTHESIS, head.prompts)
            most[head.masks] = max(count, most.get(head.masks, 0))
    per_shard, scored = settings.synthesis.items_per_shard, settings.instruments.scored
    if scored is not None:
        judged = _in_shards(settings, MAIN_SYNTHESIS, scored)
        most[ORACLE_MASKS] = max(judged, most.get(ORACLE_MASKS, 0))
    jobs = sum(shard_count(count, per_shard) for count in most.values())
    images = sum(most.values())
    size = images * geometry.image[0] * geometry.image[1]  # a bool for each pixel
    return [Stage("mask_sets", jobs, images, size=size)] if most else []


def _inversion(
    geometry: Geometry, name: str, runs: Sequence[tuple[InversionSettings, int, int]]
) -> Stage:
    """Of runs as (how, number of images, images in a shard)."""
    total, (channels, height, width) = geometry.train_timesteps, geometry.latents
    jobs, images, passing, latents = 0, 0, 0, 0
    for chosen, count, per_shard in runs:
        last = max(snap(fraction, chosen.steps, total) for fraction in chosen.timesteps)
        steps = sum(timestep < last for timestep in grid(chosen.steps, total))
        jobs += shard_count(count, per_shard)
        images += count
        passing += count * steps * max(1, chosen.fixed_point)
        latents += count * len(chosen.timesteps)
    size = latents * 2 * channels * height * width
    return Stage(name, jobs, images, {"passing": passing, "encoding": images}, size)


def _recording(
    settings: Settings,
    geometry: Geometry,
    benchmarks_of: Mapping[str, Sequence[str]],
    images: Mapping[str, int],
) -> Stage:
    jobs, total, looking, encoding, size = 0, 0, 0, 0, 0
    for name in [*settings.recordings, *settings.mask_recordings]:
        recording = settings.recorded(name)
        for count in (images[benchmark] for benchmark in benchmarks_of[name]):
            jobs += shard_count(count, recording.items_per_shard)
            total += count
            looking += count * len(recording.timesteps)
            encoding += count if recording.latents == "noise" else 0
            attention = _attention(settings, geometry, recording.affinity_stride)
            size += count * (_image(geometry) + attention)
    return Stage("recording", jobs, total, {"looking": looking, "encoding": encoding}, size)


def _head(settings: Settings, geometry: Geometry) -> Stage:
    work = {"describing": 0, "training": 0, "training_rgb": 0}
    scratch, seen = 0, 0
    for name in settings.variants:
        features, head = settings.variant(name)
        pairs = head.pairs or head.prompts or settings.images_of(head.synthesis)
        seen += pairs
        if head.input == "rgb":
            work["training_rgb"] += pairs * head.epochs * head.seeds
            continue
        work["training"] += pairs * head.epochs * head.seeds
        work["describing"] += pairs * len(features.timesteps)
        scratch = max(scratch, pairs * _features(features, geometry))
    return Stage("head", len(settings.variants), seen, work, scratch=scratch)


def _predictions(
    settings: Settings,
    geometry: Geometry,
    benchmarks_of: Mapping[str, Sequence[str]],
    images: Mapping[str, int],
) -> Stage:
    jobs, total, masks, describing = 0, 0, 0, 0
    for name in settings.variants:
        features, head = settings.variant(name)
        per_shard = settings.inverted(features.inversion).items_per_shard
        for count in (images[benchmark] for benchmark in benchmarks_of[name]):
            jobs += shard_count(count, per_shard)
            total += count
            masks += count * head.seeds
            if head.input == "features":
                describing += count * len(features.timesteps)
    size = masks * geometry.image[0] * geometry.image[1]
    return Stage("predictions", jobs, total, {"describing": describing}, size)


def _image(geometry: Geometry) -> int:
    return 3 * geometry.image[0] * geometry.image[1]


def _attention(settings: Settings, geometry: Geometry, stride: int | None = None) -> int:
    """Bytes of the recorded attention of an image; of self-attention at another stride, if any."""
    chosen = settings.attention
    cells = _cells(geometry, stride or chosen.affinity_stride)
    maps = sum(2 * _cells(geometry, stride) for stride in chosen.cross_strides)
    return maps + cells * min(chosen.neighbours, cells) * 6  # an int32 and a float16 an entry


def _features(features: FeaturesSettings, geometry: Geometry) -> int:
    """Bytes of the features of an image while a head is trained, float16."""
    total = 0
    for stride in features.strides:
        channels = len(features.timesteps) * geometry.channels[stride]
        kept = channels if features.components is None else min(channels, features.components)
        total += 2 * kept * _cells(geometry, stride)
    return total


def _cells(geometry: Geometry, stride: int) -> int:
    _, height, width = geometry.latents
    return -(-height // stride) * -(-width // stride)


def _seconds(work: Mapping[str, int], rates: Rates) -> float:
    return sum(count * float(getattr(rates, name)) for name, count in work.items())
