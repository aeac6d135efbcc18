"""What a run will cost, counted from its settings: jobs, passes of the U-Net, hours and bytes.

Counts are exact, except that every mask is taken to be kept, so that heads see no more pairs than
counted. Hours are counts times `calibration.Rates`, which somebody has to have measured; of
masks by other methods than AttentionCut, round trips, evaluation, tables and figures no time is
counted.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from dseg.method.inversion import grid, snap
from dseg.orchestration.calibration import Rates
from dseg.settings.run import (
    ATTENTIONCUT,
    RENDERS,
    TRUE_MASKS,
    FeaturesSettings,
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
        name: What is made; synthetic images by their folder of artifacts.
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
    settings: Settings, geometry: Geometry, folders: Mapping[str, tuple[int, int]]
) -> list[Stage]:
    """The stages of a run in the order of the method.

    Args:
        settings: All of them.
        geometry: Of the base model.
        folders: Shards and images of each folder of sets, as `RunShards.sizes`.
    """
    kinds: dict[str, dict[str, tuple[int, int]]] = {}
    for folder, size in folders.items():
        kind, _, rest = folder.partition("/")
        kinds.setdefault(kind, {})[rest] = size
    masks = {name: size for name, size in kinds.get("masks", {}).items() if not _is_true(name)}
    predicted = {name: size for name, size in masks.items() if _way(name) in settings.variants}
    others = {
        name: size
        for name, size in masks.items()
        if name not in predicted and _way(name) not in (ATTENTIONCUT, *settings.recordings)
    }
    cut = {name: size for name, size in masks.items() if name not in predicted | others}
    pixels = geometry.image[0] * geometry.image[1]
    stages = [
        *(
            _synthesis(f"images/{name}", settings.synthesised(name), settings, geometry, size)
            for name, size in kinds.get("images", {}).items()
            if name != RENDERS
        ),
        # A bool and a float16 for each pixel.
        _stage("masks", cut, {"cutting": _images(cut)}, 3 * pixels * _images(cut)),
        _stage("masks by others", others, {}, pixels * _images(others)),
        _latents(settings, geometry, kinds.get("latents", {})),
        _attention(settings, geometry, kinds.get("attention", {})),
        _head(settings, geometry),
        _predictions(settings, geometry, predicted),
    ]
    return [stage for stage in stages if stage.jobs]


def _way(folder: str) -> str:
    return folder.rpartition("/")[2]


def _is_true(folder: str) -> bool:
    """Whether masks are rendered with their images, which takes next to no time."""
    return _way(folder) == TRUE_MASKS


def _images(sizes: Mapping[str, tuple[int, int]]) -> int:
    return sum(images for _, images in sizes.values())


def _stage(
    name: str, sizes: Mapping[str, tuple[int, int]], work: Mapping[str, int], size: int
) -> Stage:
    return Stage(name, sum(jobs for jobs, _ in sizes.values()), _images(sizes), work, size)


def _synthesis(
    name: str,
    chosen: SynthesisSettings,
    settings: Settings,
    geometry: Geometry,
    size: tuple[int, int],
) -> Stage:
    jobs, count = size
    low, high = settings.attention.timesteps
    total = geometry.train_timesteps
    # As DDIM spaces them, up to the offset of one timestep.
    timesteps = [index * (total // chosen.steps) for index in range(chosen.steps)]
    recorded = sum(low * total <= timestep + 1 <= high * total for timestep in timesteps)
    return Stage(
        name,
        jobs,
        count,
        {
            "sampling": count * (chosen.steps - recorded),
            "recording": count * recorded,
            "decoding": count,
        },
        count * (_image(geometry) + _maps(settings, geometry)),
        guided=chosen.guidance > 1,
    )


def _latents(settings: Settings, geometry: Geometry, sizes: Mapping[str, tuple[int, int]]) -> Stage:
    total, (channels, height, width) = geometry.train_timesteps, geometry.latents
    passing, kept = 0, 0
    for folder, (_, images) in sizes.items():
        chosen = settings.inverted(_way(folder))
        last = max(snap(fraction, chosen.steps, total) for fraction in chosen.timesteps)
        steps = sum(timestep < last for timestep in grid(chosen.steps, total))
        passing += images * steps * max(1, chosen.fixed_point)
        kept += images * len(chosen.timesteps)
    work = {"passing": passing, "encoding": _images(sizes)}
    return _stage("latents", sizes, work, kept * 2 * channels * height * width)


def _attention(
    settings: Settings, geometry: Geometry, sizes: Mapping[str, tuple[int, int]]
) -> Stage:
    work, size = {"looking": 0, "encoding": 0}, 0
    for folder, (_, images) in sizes.items():
        recording = settings.recorded(_way(folder))
        work["looking"] += images * len(recording.timesteps)
        work["encoding"] += images if recording.latents == "noise" else 0
        size += images * (_image(geometry) + _maps(settings, geometry, recording.affinity_stride))
    return _stage("attention", sizes, work, size)


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
    settings: Settings, geometry: Geometry, sizes: Mapping[str, tuple[int, int]]
) -> Stage:
    masks, describing = 0, 0
    for folder, (_, images) in sizes.items():
        features, head = settings.variant(_way(folder))
        masks += images * head.seeds
        describing += images * len(features.timesteps) if head.input == "features" else 0
    size = masks * geometry.image[0] * geometry.image[1]
    return _stage("predictions", sizes, {"describing": describing}, size)


def _image(geometry: Geometry) -> int:
    return 3 * geometry.image[0] * geometry.image[1]


def _maps(settings: Settings, geometry: Geometry, stride: int | None = None) -> int:
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
