"""The artifacts of a run, shard by shard: what there is to compute, and where each file lies.

A set of images is a synthesis or a benchmark. Of each there are images (synthetic ones lie with
their attention), attention (recorded on the images of a benchmark), latents and masks:

    images/<synthesis>              masks/<set>/<method>
    attention/<benchmark>/<recording>    latents/<set>/<inversion>
"""

from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

from dseg.artifacts.shards import SHARD_NAME, shard_count, shard_name
from dseg.reporting import ablations, comparison
from dseg.settings.overrides import job_settings
from dseg.settings.run import (
    ATTENTIONCUT,
    ORACLE_MASKS,
    RENDERS,
    FeaturesSettings,
    HeadSettings,
    Settings,
)


class RunShards:
    """Shards of the run of one profile, by its settings."""

    def __init__(self, profile: str, settings: Settings) -> None:
        """Of the run of `profile`, which has these settings."""
        self.profile = profile
        self.settings = settings

    def artifact(self, path: str) -> str:
        """Path of an artifact of this run."""
        return f"artifacts/{self.profile}/{path}"

    @property
    def main(self) -> str:
        """The set of synthetic images that heads learn from unless they name another."""
        return self.settings.head.synthesis

    def shards(self, folder: str, first: int | None = None) -> list[str]:
        """The shards of a folder of a set.

        Args:
            folder: Kind and set, and of all kinds but images the way they were made.
            first: Only those that hold the first so many images; None: all.

        Raises:
            DsegError: There is no such set, or nothing of the name in the settings.
        """
        items, per_shard = self._cut_into(folder)
        count = shard_count(items, per_shard)
        wanted = count if first is None else shard_count(first, per_shard)
        return [self.artifact(f"{folder}/{shard_name(index, count)}") for index in range(wanted)]

    def _cut_into(self, folder: str) -> tuple[int, int]:
        """The images of a folder, and how many of them a shard holds."""
        settings = self.settings
        kind, name, *way = folder.split("/")
        if name in settings.syntheses:
            return settings.images_of(name), settings.synthesised(name).items_per_shard
        items, made = settings.benchmark(name).taken, way[0]
        if kind == "latents":
            return items, settings.inverted(made).items_per_shard
        if made in settings.variants:
            return items, job_settings(settings, variant=made).inversion.items_per_shard
        if made in settings.image_methods:
            return items, settings.recording.items_per_shard
        return items, settings.recorded(made).items_per_shard

    @property
    def methods(self) -> list[str]:
        """What makes masks of benchmarks: recordings, rivals that see the image alone, variants."""
        settings = self.settings
        return [*settings.recordings, *settings.image_methods, *settings.variants]

    # what there is to compute

    def needed(self) -> dict[str, list[str]]:
        """Every folder of sets that something in the run reads, with those of its shards.

        Of a folder of synthetic images these may be the first shards alone, where heads look no
        further.
        """
        found: dict[str, set[str]] = {}
        for folder, shards in self._needed():
            found.setdefault(folder, set()).update(shards)
        return {folder: sorted(found[folder]) for folder in sorted(found)}

    def _needed(self) -> Iterator[tuple[str, list[str]]]:
        settings, shown = self.settings, self.shown()
        for folder in (f"images/{self.main}", f"masks/{self.main}/{ATTENTIONCUT}"):
            yield folder, self.shards(folder)  # which figures show and whose masks are counted
        if settings.instruments.scored is not None:
            folder = f"masks/{self.main}/{ORACLE_MASKS}"
            yield folder, self.shards(folder, settings.instruments.scored)
        for features, head in map(settings.variant, settings.variants):
            for folder in _learnt(features, head):
                yield folder, self.shards(folder, head.prompts)
        for name, benchmark in self.inverted():
            yield f"latents/{benchmark}/{name}", self.shards(f"latents/{benchmark}/{name}")
        for name in [*settings.recordings, *settings.mask_recordings]:
            for benchmark in shown[name]:
                folder = f"attention/{benchmark}/{name}"
                yield folder, self.shards(folder)
        for folder in self.predicted(self.methods):
            yield folder, self.shards(folder)

    def sizes(self) -> dict[str, tuple[int, int]]:
        """Shards and images of every folder that something in the run reads."""
        found = {}
        for folder, shards in self.needed().items():
            items, per_shard = self._cut_into(folder)
            found[folder] = len(shards), min(items, per_shard * len(shards))
        return found

    def needed_shards(self) -> list[str]:
        """The shards of all folders that something in the run reads."""
        return [path for shards in self.needed().values() for path in shards]

    def predicted(self, methods: Iterable[str]) -> list[str]:
        """The folders of the masks of benchmarks by some methods."""
        shown = self.shown()
        return [f"masks/{name}/{each}" for each in methods for name in shown[each]]

    def targets(self) -> dict[str, list[str]]:
        """What may be asked for by name, and is a stage of DVC: files, by name.

        A folder of a synthesis is one of its own. What was made of benchmarks is together with
        that of the others made in the same way, and heads, with what they predict, with the others
        of their ablation: a stage costs DVC some seconds, whatever it holds.
        """
        of_heads = {*self.predicted(self.settings.variants)}
        targets: dict[str, list[str]] = {}
        for folder, shards in self.needed().items():
            if folder in of_heads:
                continue
            kind, name, *way = folder.split("/")
            place = name if name in self.settings.syntheses else "benchmarks"
            targets.setdefault("-".join([kind, place, *way]), []).extend(shards)
        if self.round_trips():
            targets["round-trip"] = self.round_trips()
        for name, variants in ablations.variant_sets(self.settings).items():
            targets[f"head-{name}"] = [self.head(variant) for variant in variants]
            predicted = map(self.shards, self.predicted(variants))
            targets[f"predictions-{name}"] = [path for shards in predicted for path in shards]
        return targets

    def inverted(self) -> list[tuple[str, str]]:
        """Every inversion with every benchmark on which a recording or a head reads it."""
        settings, shown = self.settings, self.shown()
        readers = {
            name: settings.recorded(name).inversion
            for name in [*settings.recordings, *settings.mask_recordings]
            if settings.recorded(name).latents == "inversion"
        }
        for name in settings.variants:
            features, head = settings.variant(name)
            if head.input == "features":
                readers[name] = features.inversion
        needed = {
            (inversion, benchmark)
            for method, inversion in readers.items()
            for benchmark in shown[method]
        }
        return [
            pair for pair in product(settings.inversions, settings.benchmarks) if pair in needed
        ]

    def shown(self) -> dict[str, list[str]]:
        """The benchmarks that some table or figure shows each method on."""
        settings = self.settings
        held_out, boxes = comparison.held_out(settings), comparison.box_benchmarks(settings)
        main, masks = comparison.main_methods(settings), comparison.mask_benchmarks(settings)
        started_from = comparison.mask_recordings(settings)
        found = {}
        for method in [*self.methods, *settings.mask_recordings]:
            wanted = {
                *(() if method in settings.mask_recordings else held_out),
                *(boxes if method in main else ()),
                *(masks if method in started_from else ()),
            }
            if method in settings.recordings or method in settings.mask_recordings:
                wanted = {name for name in wanted if comparison.is_asked(settings, method, name)}
            found[method] = [name for name in settings.benchmarks if name in wanted]
        return found

    def stale_shards(self) -> list[Path]:
        """Shards on disk that were cut for another number of items than the run has now.

        Beside those of now they would hold items twice, for whoever reads a folder as a whole.
        """
        return [
            path
            for folder, shards in self.needed().items()
            for path in sorted(Path(self.artifact(folder)).glob("*.safetensors"))
            if SHARD_NAME.fullmatch(path.name) and path.name[-17:] != shards[0][-17:]
        ]

    # what stages read

    def main_images(self) -> list[str]:
        """The shards of the main synthetic images."""
        return self.shards(f"images/{self.main}")

    def main_masks(self) -> list[str]:
        """The shards of their masks by AttentionCut."""
        return self.shards(f"masks/{self.main}/{ATTENTIONCUT}")

    @property
    def drawn(self) -> list[str]:
        """The syntheses that the base model makes images for."""
        return [name for name in self.settings.syntheses if name != RENDERS]

    @property
    def cut(self) -> list[str]:
        """The folders of masks, <set>/<method>, that AttentionCut makes."""
        recordings, benchmarks = self.settings.recordings, self.settings.benchmarks
        given = [f"{name}/{recording}" for name in benchmarks for recording in recordings]
        return [*(f"{name}/{ATTENTIONCUT}" for name in self.drawn), *given]

    def judged(self, folder: str) -> list[str]:
        """The shards of a folder that hold the images on which an oracle judges mask methods."""
        return self.shards(folder, self.settings.instruments.scored or 0)

    def attention(self, wildcards: Any) -> str:
        """The shard with the attention that a job of AttentionCut cuts by."""
        name, _ = wildcards.cut.split("/")
        kind = f"images/{name}" if name in self.settings.syntheses else f"attention/{wildcards.cut}"
        return self.artifact(f"{kind}/{wildcards.shard}-of-{wildcards.total}.safetensors")

    def mask_method_shards(self) -> list[str]:
        """The recorded attention that mask methods start from."""
        return [
            path
            for recording in comparison.mask_recordings(self.settings)
            for benchmark in comparison.mask_benchmarks(self.settings)
            if comparison.is_asked(self.settings, recording, benchmark)
            for path in self.shards(f"attention/{benchmark}/{recording}")
        ]

    def evaluated_shards(self) -> list[str]:
        """The soft masks of all methods on all benchmarks."""
        folders = self.predicted(self.methods)
        return [path for shards in map(self.shards, folders) for path in shards]

    def round_trips(self) -> list[str]:
        """The measured round trips, where ways to invert are compared."""
        if comparison.ROUND_TRIP not in comparison.tables(self.settings):
            return []
        return [self.artifact(f"round_trip/{comparison.held_out(self.settings)[0]}.parquet")]

    def synthetic_masks(self) -> list[str]:
        """The scores of mask methods on synthetic images, if an oracle judges them."""
        if self.settings.instruments.scored is None:
            return []
        return [self.artifact("synthetic_masks/images.parquet")]

    def quality(self) -> list[str]:
        """How good the instruments are, where one judges mask methods."""
        return [self.artifact("instruments/quality.json")] if self.synthetic_masks() else []

    def recording_latents(self, wildcards: Any) -> list[str]:
        """The inverted latents that a job of the stage recording reads, if any."""
        recording = self.settings.recorded(wildcards.recording)
        if recording.latents != "inversion":
            return []
        return self.shards(f"latents/{wildcards.benchmark}/{recording.inversion}")

    def prediction_latents(self, wildcards: Any) -> list[str]:
        """The inverted latents that a job of the stage prediction reads, if any."""
        features, head = self.settings.variant(wildcards.variant)
        if head.input != "features":
            return []
        return self.shards(f"latents/{wildcards.benchmark}/{features.inversion}")

    # heads

    def head(self, variant: str) -> str:
        """The file of a trained head."""
        return self.artifact(f"head/{variant}/head.safetensors")

    def head_images(self, wildcards: Any) -> list[str]:
        """The images that the head of a job's wildcard learns."""
        return self._learnt_by(wildcards.variant, "images")

    def head_masks(self, wildcards: Any) -> list[str]:
        """The masks of synthetic images that the head of a job's wildcard learns."""
        return self._learnt_by(wildcards.variant, "masks")

    def head_latents(self, wildcards: Any) -> list[str]:
        """The inverted latents that the head of a job's wildcard is trained on, if any."""
        return self._learnt_by(wildcards.variant, "latents")

    def _learnt_by(self, variant: str, kind: str) -> list[str]:
        features, head = self.settings.variant(variant)
        folders = [each for each in _learnt(features, head) if each.startswith(f"{kind}/")]
        return [path for folder in folders for path in self.shards(folder, head.prompts)]

    def longest_head(self) -> str:
        """The head whose training takes longest: begun last, all others would wait for it."""
        heads = {name: self.settings.variant(name)[1] for name in self.settings.variants}
        every = self.settings.prompts.count
        work = {
            name: (head.pairs or head.prompts or every) * head.epochs * head.seeds
            for name, head in heads.items()
        }
        of_features = [name for name in heads if heads[name].input == "features"] or [*heads]
        return self.head(max(of_features, key=work.__getitem__))


def _learnt(features: FeaturesSettings, head: HeadSettings) -> list[str]:
    """The folders of synthetic images and of what was made of them that a head learns from."""
    folders = [f"images/{head.synthesis}", f"masks/{head.synthesis}/{head.masks}"]
    if head.input == "features":
        folders.append(f"latents/{head.synthesis}/{features.inversion}")
    return folders
