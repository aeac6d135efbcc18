"""The artifacts of a run, shard by shard: what there is to compute, and where each file lies."""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from dseg.artifacts.shards import INDEX_NAME, shard_count, shard_name
from dseg.reporting import comparison
from dseg.settings.overrides import job_settings
from dseg.settings.run import (
    MAIN_MASKS,
    MAIN_SYNTHESIS,
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

    def synthetic_shards(self, folder: str) -> list[str]:
        """The shards of a folder that holds one item for each prompt."""
        return self._of_synthesis(MAIN_SYNTHESIS, folder)

    def further_shards(self) -> list[str]:
        """Images, masks and latents of further syntheses, all that a head reads."""
        return list(
            dict.fromkeys(
                path
                for features, head in self._heads()
                if head.synthesis != MAIN_SYNTHESIS
                for path in [
                    *self._learnt(head, self.images_folder(head.synthesis)),
                    *self._learnt(head, _masks_folder(head)),
                    *(self._latents_of(features, head) if head.input == "features" else ()),
                ]
            )
        )

    def recording_shards(self, folder: str) -> list[str]:
        """The shards folder/<recording>/<benchmark>/... of all recordings."""
        return [
            path
            for recording in self.settings.recordings
            for benchmark in self.benchmarks_of(recording)
            for path in self._recording_shards(folder, recording, benchmark)
        ]

    def attention_shards(self) -> list[str]:
        """The shards of all recorded attention on given images."""
        return list(dict.fromkeys(self.recording_shards("recording") + self.mask_method_shards()))

    def mask_method_shards(self) -> list[str]:
        """The recorded attention that mask methods start from."""
        return [
            path
            for recording in comparison.mask_recordings(self.settings)
            for benchmark in comparison.mask_benchmarks(self.settings)
            for path in self._recording_shards("recording", recording, benchmark)
        ]

    def round_trips(self) -> list[str]:
        """The measured round trips, where ways to invert are compared."""
        if comparison.ROUND_TRIP not in comparison.tables(self.settings):
            return []
        return [self.artifact(f"round_trip/{comparison.held_out(self.settings)[0]}.parquet")]

    def recording_latents(self, wildcards: Any) -> list[str]:
        """The inverted latents that a job of the stage recording reads, if any."""
        recording = self.settings.recorded(wildcards.recording)
        if recording.latents != "inversion":
            return []
        return self._inversion_shards(recording.inversion, wildcards.benchmark)

    def evaluated_shards(self) -> list[str]:
        """The soft masks of all methods on all benchmarks."""
        return self.recording_shards("recording_masks") + self.prediction_shards()

    def longest_head(self) -> str:
        """The head whose training takes longest: begun last, all others would wait for it."""
        heads = {name: self.settings.variant(name)[1] for name in self.settings.variants}
        every = self.settings.prompts.count
        work = {
            name: (head.pairs or head.prompts or every) * head.epochs * head.seeds
            for name, head in heads.items()
        }
        of_features = [name for name in heads if heads[name].input == "features"] or [*heads]
        return self.artifact(f"head/{max(of_features, key=work.__getitem__)}/head.safetensors")

    def head_images(self, wildcards: Any) -> list[str]:
        """The images that the head of a job's wildcard learns."""
        _, head = self.settings.variant(wildcards.variant)
        return self._learnt(head, self.images_folder(head.synthesis))

    def head_latents(self, wildcards: Any) -> list[str]:
        """The inverted latents that the head of a job's wildcard is trained on, if any."""
        features, head = self.settings.variant(wildcards.variant)
        return self._latents_of(features, head) if head.input == "features" else []

    def head_masks(self, wildcards: Any) -> list[str]:
        """The masks of synthetic images that the head of a job's wildcard learns."""
        _, head = self.settings.variant(wildcards.variant)
        return self._learnt(head, _masks_folder(head))

    def images_folder(self, synthesis: str) -> str:
        """The folder of the images of a synthesis."""
        if synthesis == RENDERS:
            return "renders/images"
        return "synthesis" if synthesis == MAIN_SYNTHESIS else f"syntheses/{synthesis}"

    def inverted_images(self, wildcards: Any) -> str:
        """The shard of images, of a further synthesis, that a job inverts."""
        shard = f"{wildcards.shard}-of-{wildcards.total}.safetensors"
        return self.artifact(f"{self.images_folder(wildcards.synthesis)}/{shard}")

    def prediction_latents(self, wildcards: Any) -> list[str]:
        """The inverted latents that a job of the stage prediction reads, if any."""
        features, head = self.settings.variant(wildcards.variant)
        if head.input != "features":
            return []
        return self._inversion_shards(features.inversion, wildcards.benchmark)

    def synthetic_inversion_shards(self) -> list[str]:
        """The inverted latents of the synthetic images, all that a head reads."""
        read = {
            path
            for features, head in self._heads()
            if head.input == "features" and head.synthesis == MAIN_SYNTHESIS
            for path in self._latents_of(features, head)
        }
        return [
            path
            for name in self.settings.inversions
            for path in self.synthetic_shards(f"inversion/{name}")
            if path in read
        ]

    def mask_set_shards(self) -> list[str]:
        """The masks of synthetic images by other methods, all that a head learns or that judge."""
        learnt = {
            path
            for _, head in self._heads()
            if _masks_folder(head).startswith("mask_sets/")
            for path in self._learnt(head, _masks_folder(head))
        }
        return sorted(learnt | {*self.scored_shards(f"mask_sets/{ORACLE_MASKS}")})

    def scored_shards(self, folder: str) -> list[str]:
        """The shards of a folder that hold the images on which an oracle judges mask methods."""
        scored = self.settings.instruments.scored or 0
        count = shard_count(scored, self.settings.synthesis.items_per_shard)
        return self.synthetic_shards(folder)[:count]

    def synthetic_masks(self) -> list[str]:
        """The scores of mask methods on synthetic images, if an oracle judges them."""
        if self.settings.instruments.scored is None:
            return []
        return [self.artifact("synthetic_masks/images.parquet")]

    def quality(self) -> list[str]:
        """How good the instruments are, where one judges mask methods."""
        return [self.artifact("instruments/quality.json")] if self.synthetic_masks() else []

    def inversion_shards(self) -> list[str]:
        """The inverted latents of the benchmarks' images that something is computed on."""
        return [path for pair in self.inverted() for path in self._inversion_shards(*pair)]

    def inverted(self) -> list[tuple[str, str]]:
        """Every inversion with every benchmark on which a recording or a head reads it."""
        settings = self.settings
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
            for benchmark in self.benchmarks_of(method)
        }
        return [
            pair for pair in product(settings.inversions, settings.benchmarks) if pair in needed
        ]

    def prediction_shards(self) -> list[str]:
        """The shards predictions/<variant>/<benchmark>/... of all heads."""
        return self.shards_predicted_by(self.settings.variants)

    def shards_predicted_by(self, variants: Iterable[str]) -> list[str]:
        """The shards predictions/<variant>/<benchmark>/... of the heads of some variants."""
        return [
            path
            for variant in variants
            for benchmark in self.benchmarks_of(variant)
            for path in self._shards(
                f"predictions/{variant}/{benchmark}",
                self.settings.benchmark(benchmark).taken,
                job_settings(self.settings, variant=variant).inversion.items_per_shard,
            )
        ]

    def benchmarks_of(self, method: str) -> list[str]:
        """The benchmarks that some table or figure shows a recording or a variant on."""
        settings = self.settings
        shown = [] if method in settings.mask_recordings else comparison.held_out(settings)
        if method in comparison.main_methods(settings):
            shown = shown + comparison.box_benchmarks(settings)
        if method in comparison.mask_recordings(settings):
            shown = shown + comparison.mask_benchmarks(settings)
        return [name for name in settings.benchmarks if name in shown]

    def _inversion_shards(self, inversion: str, benchmark: str) -> list[str]:
        per_shard = self.settings.inverted(inversion).items_per_shard
        images = self.settings.benchmark(benchmark).taken
        return self._shards(f"benchmark_inversion/{inversion}/{benchmark}", images, per_shard)

    def _recording_shards(self, folder: str, recording: str, benchmark: str) -> list[str]:
        per_shard = self.settings.recorded(recording).items_per_shard
        images = self.settings.benchmark(benchmark).taken
        return self._shards(f"{folder}/{recording}/{benchmark}", images, per_shard)

    def _shards(self, folder: str, items: int, per_shard: int) -> list[str]:
        count = shard_count(items, per_shard)
        return [self.artifact(f"{folder}/{shard_name(index, count)}") for index in range(count)]

    def complete(self, shards: Sequence[str]) -> list[str]:
        """Those of these shards whose folder has all of its shards among them."""
        there = Counter(Path(path).parent for path in shards)
        return [path for path in shards if there[Path(path).parent] == int(Path(path).stem[-5:])]

    def indices(self, shards: Sequence[str]) -> list[str]:
        """The index of each folder that has all of its shards among these."""
        folders = dict.fromkeys(Path(path).parent for path in self.complete(shards))
        return [(folder / INDEX_NAME).as_posix() for folder in folders]

    def _heads(self) -> list[tuple[FeaturesSettings, HeadSettings]]:
        return [self.settings.variant(name) for name in self.settings.variants]

    def _of_synthesis(self, name: str, folder: str) -> list[str]:
        per_shard = self.settings.synthesised(name).items_per_shard
        return self._shards(folder, self.settings.images_of(name), per_shard)

    def _learnt(self, head: HeadSettings, folder: str) -> list[str]:
        """The shards of a folder of synthetic images, or of what was made of them, for a head."""
        shards = self._of_synthesis(head.synthesis, folder)
        per_shard = self.settings.synthesised(head.synthesis).items_per_shard
        return shards[: None if head.prompts is None else shard_count(head.prompts, per_shard)]

    def _latents_of(self, features: FeaturesSettings, head: HeadSettings) -> list[str]:
        if head.synthesis == MAIN_SYNTHESIS:
            return self._learnt(head, f"inversion/{features.inversion}")
        return self._learnt(head, f"syntheses_inversion/{head.synthesis}/{features.inversion}")


def _masks_folder(head: HeadSettings) -> str:
    if head.synthesis == RENDERS:
        return "renders/masks"
    if head.synthesis != MAIN_SYNTHESIS:
        return f"syntheses_masks/{head.synthesis}"
    return "masks" if head.masks == MAIN_MASKS else f"mask_sets/{head.masks}"
