"""What the Snakefile asks of a run: its settings, where files lie, how many shards there are.

Rule files name rules and commands; every decision that needs a line of Python is here, where it
can be tested. A `Plan` is made anew each time Snakemake reads the Snakefile.
"""

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from dseg import comparison
from dseg.config import load_settings, sections
from dseg.errors import DsegError
from dseg.jobs import job_settings, jobs
from dseg.profiles import DEFAULT_PROFILE, PARAMS, PROFILES, claims_page, profile_params
from dseg.provenance import declared_sections, sources, write_stamp
from dseg.section import ClassFile
from dseg.settings import MAIN_MASKS, WORLD, HeadSettings, Settings
from dseg.shards import INDEX_NAME, shard_count, shard_name

# glibc gives freed memory back at once and takes it again at the next step: 40,000 page faults a
# training step against almost none with these.
MALLOC = {"MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**34)}
MODEL_INDEX = "model_index.json"
BASE_MODEL = "models/dseg-tiny"  # what `snakemake base` makes must not be asked for before it
MODEL_FILES = (".json", ".txt", ".safetensors")  # a model card does not change what is computed


def make_plan(config: Mapping[str, Any]) -> "Plan":
    """The plan of the profile that `--config profile=NAME` names; ends the program on bad input.

    Snakemake shows an exception of the Snakefile with source lines, but SystemExit as it is.
    """
    try:
        unknown = sorted(set(config) - {"profile"})
        if unknown:
            raise DsegError(
                f"--config {unknown[0]}: unknown; settings are changed in {PARAMS} or in "
                f"{PROFILES}/<name>/{PARAMS}, which --config profile=<name> selects"
            )
        plan = Plan(str(config.get("profile", DEFAULT_PROFILE)))
        if plan.settings.model.path != BASE_MODEL:
            plan.check_model()
        return plan
    except DsegError as error:
        sys.exit(f"error: {error}")


class Plan:
    """Paths, inputs and settings files of one profile's run.

    Making one writes the settings files of stages whose settings changed.
    """

    def __init__(self, profile: str) -> None:
        """Read and validate the settings of `profile`; DsegError if they are not usable."""
        base, *overrides = profile_params(profile)
        self.settings = load_settings(base, overrides)
        if self.settings.profile != profile:
            raise DsegError(
                f"{[base, *overrides][-1]}: profile: expected {profile!r}, the name of the "
                f"profile, got {self.settings.profile!r}"
            )
        self.profile = profile
        for name, value in MALLOC.items():  # inherited by every job
            os.environ.setdefault(name, value)

    # where files lie

    def artifact(self, path: str) -> str:
        """Path of an artifact of this run."""
        return f"artifacts/{self.profile}/{path}"

    def folder(self, wildcards: Any = None) -> str:
        """The folder of all artifacts of this run."""
        return f"artifacts/{self.profile}"

    def result(self, path: str) -> str:
        """Path of a result of this run."""
        return f"results/{self.profile}/{path}"

    def results(self, wildcards: Any = None) -> str:
        """The folder of all results of this run."""
        return f"results/{self.profile}"

    def log(self, path: str) -> str:
        """Path of the log of a job."""
        return self.artifact(f"logs/{path}.log")

    # what a stage depends on

    def code(self, stage: str) -> list[str]:
        """The source files behind a stage: its modules and, for its command, its rule file."""
        files = [path.as_posix() for path in sources(f"dseg.stages.{stage}")]
        rules = Path(f"workflow/rules/{stage}.smk")
        return [rules.as_posix(), *files] if rules.is_file() else files

    def stamp(self, stage: str) -> str:
        """The file with the settings that a stage reads, written if they changed."""
        return self._stamp(stage, "", self.settings)

    def stamps(self, stage: str, pattern: str) -> str:
        """As `stamp`, a file for each job.

        Args:
            stage: The stage.
            pattern: What the jobs differ in, of the wildcards {recording}, {variant},
                {inversion}, {mask_method} and {benchmark}, joined by slashes. The settings of a
                job have its overrides merged in and no benchmark or mask method but its own.

        Returns:
            The pattern of the files' paths.
        """
        for job in jobs(self.settings, re.findall(r"{(\w+)}", pattern)):
            self._stamp(stage, pattern.format(**job), job_settings(self.settings, **job))
        return self.artifact(f"settings/{stage}/{pattern}.json")

    def _stamp(self, stage: str, job: str, settings: Settings) -> str:
        path = self.artifact(f"settings/{stage}/{job}.json" if job else f"settings/{stage}.json")
        names = declared_sections(f"dseg.stages.{stage}")
        write_stamp(Path(path), sections(settings, *names))
        return path

    def model(self) -> list[str]:
        """The files of the base model if it is a folder; none if it is a revision on the hub."""
        if self.settings.model.revision is not None:
            return []
        folder = Path(self.settings.model.path)
        index = folder / MODEL_INDEX
        if not index.is_file():
            return [index.as_posix()]  # missing, as Snakemake or `check_inputs` will say
        parts = [part for part in json.loads(index.read_text("utf-8")) if part[0] != "_"]
        files = [file for part in parts for file in (folder / part).glob("*")]
        return [index.as_posix()] + sorted(
            file.as_posix() for file in files if file.suffix in MODEL_FILES
        )

    def class_file(self) -> list[str]:
        """The file of class names; none if the settings list them."""
        classes = self.settings.prompts.classes
        return [classes.file] if isinstance(classes, ClassFile) else []

    def check_model(self) -> None:
        """Look whether the base model is there, if it is a folder; raises DsegError if not."""
        for file in self.model()[:1]:
            if not Path(file).is_file():
                raise DsegError(
                    f"model.path: no pipeline in {self.settings.model.path}: expected the file "
                    f"{file}; name another folder, or a hub id together with model.revision"
                )

    def check_inputs(self) -> None:
        """Look whether what no rule makes is there: base model, class names and benchmarks.

        Raises:
            DsegError: The folder of the model or of a benchmark, or the file of class names, is
                missing.
        """
        for file in self.class_file():
            if not Path(file).is_file():
                raise DsegError(
                    f"prompts.classes.file: no file {file}: `python -m dseg data classes` fetches "
                    "the names of ImageNet's classes; or write your own, one name a line"
                )
        self.check_model()
        for name, benchmark in self.settings.benchmarks.items():
            if not benchmark.root.startswith(WORLD) and not Path(benchmark.root).is_dir():
                raise DsegError(
                    f"benchmarks.{name}.root: no folder {benchmark.root}: unpack the benchmark "
                    "there (`dseg data` fetches the public ones), or change the setting"
                )

    # what there is to do

    @property
    def gpus(self) -> int:
        """GPUs that a job with a network asks for: one if the settings demand a GPU, else none.

        A run that takes what there is, `device: auto`, is not held up where nobody counts GPUs.
        """
        return int(self.settings.model.device.startswith("cuda"))

    @property
    def splits(self) -> list[str]:
        """The splits of the embedded world to render."""
        return list(self.settings.world.images)

    def benchmark_folder(self, wildcards: Any) -> str:
        """The folder of the benchmark that a job's wildcard names."""
        root = self.settings.benchmark(wildcards.benchmark).root
        return self.artifact(root) if root.startswith(WORLD) else root

    def benchmark_folders(self) -> list[str]:
        """The folders of all benchmarks."""
        roots = (benchmark.root for benchmark in self.settings.benchmarks.values())
        return [self.artifact(root) if root.startswith(WORLD) else root for root in roots]

    def claims_page(self) -> str:
        """The page of claims."""
        return claims_page(self.profile)

    def tables_from_claims(self, wildcards: Any) -> str:
        """The folder of the result tables as seen from the page of claims."""
        return os.path.relpath(self.result("tables"), Path(self.claims_page()).parent)

    def tables(self, *suffixes: str) -> list[str]:
        """The files of all result tables in these forms."""
        names = comparison.tables(self.settings)
        return [self.result(f"tables/{name}.{suffix}") for name in names for suffix in suffixes]

    def figures(self, suffix: str) -> list[str]:
        """The files of all figures in this form."""
        names = comparison.figures(self.settings)
        return [self.result(f"figures/{name}.{suffix}") for name in names]

    def synthetic_shards(self, folder: str) -> list[str]:
        """The shards of a folder that holds one item for each prompt."""
        per_shard = self.settings.synthesis.items_per_shard
        return self._shards(folder, self.settings.prompts.count, per_shard)

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

    def head_latents(self, wildcards: Any) -> list[str]:
        """The inverted latents that the head of a job's wildcard is trained on, if any."""
        features, head = self.settings.variant(wildcards.variant)
        if head.input != "features":
            return []
        return self.synthetic_shards(f"inversion/{features.inversion}")

    def head_masks(self, wildcards: Any) -> list[str]:
        """The masks of synthetic images that the head of a job's wildcard learns."""
        _, head = self.settings.variant(wildcards.variant)
        return self.synthetic_shards(_masks_folder(head))

    def prediction_latents(self, wildcards: Any) -> list[str]:
        """The inverted latents that a job of the stage prediction reads, if any."""
        features, head = self.settings.variant(wildcards.variant)
        if head.input != "features":
            return []
        return self._inversion_shards(features.inversion, wildcards.benchmark)

    def head_model(self, wildcards: Any) -> list[str]:
        """The files of the base model if the head of a job's wildcard reads features of it."""
        _, head = self.settings.variant(wildcards.variant)
        return self.model() if head.input == "features" else []

    def synthetic_inversion_shards(self) -> list[str]:
        """The inverted latents of the synthetic images, of all inversions that a head reads."""
        settings = self.settings
        read = [settings.variant(name) for name in settings.variants]
        names = {features.inversion for features, head in read if head.input == "features"}
        return [
            path
            for name in settings.inversions
            if name in names
            for path in self.synthetic_shards(f"inversion/{name}")
        ]

    def mask_set_shards(self) -> list[str]:
        """The masks of synthetic images by other methods, of all that a head learns."""
        heads = [self.settings.variant(name)[1] for name in self.settings.variants]
        folders = sorted({_masks_folder(head) for head in heads} - {"masks"})
        return [path for folder in folders for path in self.synthetic_shards(folder)]

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
        return [
            path
            for variant in self.settings.variants
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

    def indices(self, shards: Sequence[str]) -> list[str]:
        """The index of each folder that these shards lie in."""
        folders = dict.fromkeys(Path(path).parent for path in shards)
        return [(folder / INDEX_NAME).as_posix() for folder in folders]


def _masks_folder(head: HeadSettings) -> str:
    return "masks" if head.masks == MAIN_MASKS else f"mask_sets/{head.masks}"
