"""What the Snakefile asks of a run: its settings, where files lie, how many shards there are.

Rule files name rules and commands; every decision that needs a line of Python is here, where it
can be tested. A `Plan` is made anew each time Snakemake reads the Snakefile.
"""

import os
import re
import sys
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

from dseg.base_model.files import read_index
from dseg.errors import DsegError
from dseg.files import locked
from dseg.orchestration.paths import RunShards
from dseg.orchestration.provenance import declared_sections, sources, write_stamp
from dseg.reporting import comparison
from dseg.settings.fields import ClassFile
from dseg.settings.masks import WRONG
from dseg.settings.overrides import job_settings, jobs
from dseg.settings.profiles import (
    DEFAULT_PROFILE,
    PARAMS,
    PROFILES,
    check_names,
    claims_page,
    profile_params,
)
from dseg.settings.reading import load_settings
from dseg.settings.run import ORACLE_MASKS, WORLD
from dseg.settings.sections import sections

# glibc gives freed memory back at once and takes it again at the next step: 40,000 page faults a
# training step against almost none with these.
MALLOC = {"MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**34)}
MODEL_INDEX = "model_index.json"
MODEL_FILES = (".json", ".txt", ".safetensors")  # a model card does not change what is computed


HELD = "DSEG_RUN"  # names the profile whose run has called this program
_held = ExitStack()  # until the process ends


def run_lock(profile: str) -> AbstractContextManager[None]:
    """The lock of a profile's run, for `make reproduce` and plain `snakemake` alike."""
    busy = "another run of this profile is going on: wait for it, or end it"
    return locked(Path(f"artifacts/{profile}/.run.lock"), busy=busy)


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
        # What `snakemake base` makes must not be asked for before it.
        if plan.settings.model.path != plan.settings.base.model:
            plan.check_model()
        return plan
    except DsegError as error:
        sys.exit(f"error: {error}")


class Plan(RunShards):
    """Paths, inputs and settings files of one profile's run.

    Making one writes the settings files of stages whose settings changed.
    """

    def __init__(self, profile: str) -> None:
        """Read and validate the settings of `profile`; DsegError if they are not usable."""
        check_names()
        base, *overrides = profile_params(profile)
        settings = load_settings(base, overrides)
        if settings.profile != profile:
            raise DsegError(
                f"{[base, *overrides][-1]}: profile: expected {profile!r}, the name of the "
                f"profile, got {settings.profile!r}"
            )
        super().__init__(profile, settings)
        for name, value in MALLOC.items():  # inherited by every job
            os.environ.setdefault(name, value)

    def keep_others_out(self) -> None:
        """Hold the locks of this run until the process ends, however it ends; exits if one is held.

        Called when Snakemake begins to run jobs. A run whose caller was killed alone goes on
        without the caller's lock, so jobs have one of their own.
        """
        try:
            if os.environ.get(HELD) != self.profile:
                _held.enter_context(run_lock(self.profile))
            jobs = Path(self.artifact(".jobs.lock"))
            _held.enter_context(locked(jobs, busy="jobs of this profile are still running"))
        except DsegError as error:
            sys.exit(f"error: {error}")

    def remove_stale_shards(self) -> None:
        """Remove the shards that were cut for another number of items; called after a run."""
        for path in self.stale_shards():
            path.unlink()

    # where files lie

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
        path = self.artifact(f"settings/{stage}.json")
        names = declared_sections(f"dseg.stages.{stage}")
        write_stamp(Path(path), sections(self.settings, *names))
        return path

    def stamps(self, stage: str, pattern: str) -> str:
        """As `stamp`, a file for each job.

        Args:
            stage: The stage.
            pattern: What the jobs differ in, of the wildcards {synthesis}, {recording},
                {variant}, {inversion}, {mask_method}, {image_method} and {benchmark}, joined by
                slashes. The settings of a job have its overrides merged in and no benchmark, mask
                or image method but its own.

        Returns:
            The pattern of the files' paths.
        """
        names = declared_sections(f"dseg.stages.{stage}")
        for job in jobs(self.settings, re.findall(r"{(\w+)}", pattern)):
            path = self.artifact(f"settings/{stage}/{pattern.format(**job)}.json")
            write_stamp(Path(path), sections(job_settings(self.settings, **job), *names))
        return self.artifact(f"settings/{stage}/{pattern}.json")

    def model(self, wildcards: Any = None) -> list[str]:
        """The files of the base model if it is a folder; none if it is a revision on the hub."""
        if self.settings.model.revision is not None:
            return []
        folder = Path(self.settings.model.path)
        index = folder / MODEL_INDEX
        if not index.is_file():
            return [index.as_posix()]  # missing, as Snakemake or `check_inputs` will say
        parts = [part for part in read_index(folder) if not part.startswith("_")]
        files = [file for part in parts for file in (folder / part).glob("*")]
        return [index.as_posix()] + sorted(
            file.as_posix() for file in files if file.suffix in MODEL_FILES
        )

    def head_model(self, wildcards: Any) -> list[str]:
        """The files of the base model if the head of a job's wildcard reads features of it."""
        _, head = self.settings.variant(wildcards.variant)
        return self.model() if head.input == "features" else []

    def class_file(self, wildcards: Any = None) -> list[str]:
        """The file of class names; none if the settings list them."""
        classes = self.settings.prompts.classes
        return [classes.file] if isinstance(classes, ClassFile) else []

    def other_nouns(self, wildcards: Any) -> list[str]:
        """The file of class names if a job of the stage recording tells wrong ones of it."""
        recording = self.settings.recorded(wildcards.recording)
        return self.class_file() if recording.noun == WRONG else []

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
        """The splits of the embedded world that something in the run reads."""
        roots = [benchmark.root for benchmark in self.settings.benchmarks.values()]
        splits = [root.removeprefix(WORLD) for root in roots if root.startswith(WORLD)]
        if any(folder.endswith(f"/{ORACLE_MASKS}") for folder in self.needed()):
            splits.append("val")  # on which the oracle is measured
        return list(dict.fromkeys(splits))

    @property
    def base_val(self) -> str:
        """The folder of the images on which a base model is judged while it learns."""
        photographs = self.settings.base.photographs
        return f"{photographs}/val" if photographs else self.artifact(f"{WORLD}val")

    @property
    def instruments(self) -> dict[str, str]:
        """What the stage instruments writes, by what it is."""
        files = {"classifier": "classifier.safetensors", "quality": "quality.json"}
        if self.settings.base.photographs is None:
            files["segmenter"] = "segmenter.safetensors"
        return {name: self.artifact(f"instruments/{file}") for name, file in files.items()}

    def one_of(self, names: Iterable[str], but: str = "") -> str:
        """The pattern of a wildcard that is one of these names, and not `but`."""
        return "|".join(re.escape(name) for name in names if name != but) or "(?!)"

    def benchmark_folder(self, wildcards: Any) -> str:
        """The folder of the benchmark that a job's wildcard names."""
        root = self.settings.benchmark(wildcards.benchmark).root
        return self.artifact(root) if root.startswith(WORLD) else root

    def benchmark_folders(self, wildcards: Any = None) -> list[str]:
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
