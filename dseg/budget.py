"""What a run will cost, counted from its settings: jobs, passes of the U-Net, hours and bytes.

Counts are exact, except that every mask is taken to be kept, so that heads see no more pairs than
counted. Hours are counts times `dseg.calibration.Rates`, which somebody has to have measured; of
evaluation, tables and figures no time is counted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dseg.calibration import Rates
from dseg.inversion import grid, snap
from dseg.settings import FeaturesSettings, Settings
from dseg.shards import shard_count

UNET = ("sampling", "recording", "passing", "describing", "looking")
ON_CPU = ("cutting",)
TRAINING = ("training", "training_rgb")
INVERTED = "inversion-of-benchmarks"


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
    settings: Settings, geometry: Geometry, benchmarks_of: Mapping[str, Sequence[str]]
) -> list[Stage]:
    """The stages of a run in the order of the method.

    Args:
        settings: All of them.
        geometry: Of the base model.
        benchmarks_of: The benchmarks on which each recording and each variant is run, and under
            `INVERTED` those that are inverted.
    """
    images = {name: benchmark.taken for name, benchmark in settings.benchmarks.items()}
    per_shard = settings.synthesis.items_per_shard
    return [
        _synthesis(settings, geometry),
        _masks("masks", [settings.prompts.count], per_shard, geometry),
        # A shard of latents for each of images.
        _inversion(settings, geometry, "inversion", [settings.prompts.count], per_shard),
        _inversion(
            settings,
            geometry,
            "benchmark_inversion",
            [images[name] for name in benchmarks_of[INVERTED]],
            settings.inversion.items_per_shard,
        ),
        _recording(settings, geometry, benchmarks_of, images),
        _masks(
            "recording_masks",
            [images[b] for name in settings.recordings for b in benchmarks_of[name]],
            settings.recording.items_per_shard,
            geometry,
        ),
        _head(settings, geometry),
        _predictions(settings, geometry, benchmarks_of, images),
    ]


def _synthesis(settings: Settings, geometry: Geometry) -> Stage:
    chosen, count = settings.synthesis, settings.prompts.count
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


def _masks(name: str, counts: Sequence[int], per_shard: int, geometry: Geometry) -> Stage:
    # A bool and a float16 for each pixel.
    size = 3 * geometry.image[0] * geometry.image[1]
    jobs = sum(shard_count(count, per_shard) for count in counts)
    return Stage(name, jobs, sum(counts), {"cutting": sum(counts)}, sum(counts) * size)


def _inversion(
    settings: Settings, geometry: Geometry, name: str, counts: Sequence[int], per_shard: int
) -> Stage:
    chosen, total = settings.inversion, geometry.train_timesteps
    last = max(snap(fraction, chosen.steps, total) for fraction in chosen.timesteps)
    steps = sum(timestep < last for timestep in grid(chosen.steps, total))
    channels, height, width = geometry.latents
    images = sum(counts)
    return Stage(
        name,
        sum(shard_count(count, per_shard) for count in counts),
        images,
        {"passing": images * steps * max(1, chosen.fixed_point), "encoding": images},
        images * len(chosen.timesteps) * 2 * channels * height * width,
    )


def _recording(
    settings: Settings,
    geometry: Geometry,
    benchmarks_of: Mapping[str, Sequence[str]],
    images: Mapping[str, int],
) -> Stage:
    jobs, total, looking, encoding = 0, 0, 0, 0
    for name in settings.recordings:
        recording = settings.recorded(name)
        for count in (images[benchmark] for benchmark in benchmarks_of[name]):
            jobs += shard_count(count, recording.items_per_shard)
            total += count
            looking += count * len(recording.timesteps)
            encoding += count if recording.latents == "noise" else 0
    size = total * (_image(geometry) + _attention(settings, geometry))
    return Stage("recording", jobs, total, {"looking": looking, "encoding": encoding}, size)


def _head(settings: Settings, geometry: Geometry) -> Stage:
    work = {"describing": 0, "training": 0, "training_rgb": 0}
    scratch, seen = 0, 0
    for name in settings.variants:
        features, head = settings.variant(name)
        pairs = settings.prompts.count if head.pairs is None else head.pairs
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


def _attention(settings: Settings, geometry: Geometry) -> int:
    """Bytes of the recorded attention of an image."""
    chosen = settings.attention
    cells = _cells(geometry, chosen.affinity_stride)
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
