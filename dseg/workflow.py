"""What the Snakefile asks of a run: its settings, where files lie, how many shards there are.

Rule files name rules and commands; every decision that needs a line of Python is here, where it
can be tested. A `Plan` is made anew each time Snakemake reads the Snakefile.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dseg.config import json_schema, load_settings, sections
from dseg.errors import DsegError
from dseg.provenance import declared_sections, sources, write_stamp
from dseg.settings import WORLD, Settings
from dseg.shards import INDEX_NAME, shard_count, shard_name, write_atomically

PARAMS = "params.yaml"
PROFILES = Path("workflow/profiles")
DEFAULT_PROFILE = "embedded"
SCHEMA = Path("workflow/schemas/params.schema.json")
# glibc gives freed memory back at once and takes it again at the next step: 40,000 page faults a
# training step against almost none with these.
MALLOC = {"MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**34)}
MODEL_INDEX = "model_index.json"
MODEL_FILES = (".json", ".txt", ".safetensors")  # a model card does not change what is computed


def profile_params(profile: str) -> list[Path]:
    """The files of settings of a profile, the base first.

    Raises:
        DsegError: There is no such profile.
    """
    override = PROFILES / profile / PARAMS
    if override.is_file():
        return [Path(PARAMS), override]
    if profile == DEFAULT_PROFILE:
        return [Path(PARAMS)]
    known = sorted(path.parent.name for path in PROFILES.glob(f"*/{PARAMS}"))
    raise DsegError(f"no profile {profile!r}: expected {', '.join([DEFAULT_PROFILE, *known])}")


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
        return Plan(str(config.get("profile", DEFAULT_PROFILE)))
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

    def result(self, path: str) -> str:
        """Path of a result of this run."""
        return f"results/{self.profile}/{path}"

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
        self._write_stamp(path, self.settings, stage)
        return path

    def variant_stamps(self, stage: str) -> str:
        """As `stamp`, one file for each variant, which is its own features and head.

        Returns:
            The pattern of their paths, with the wildcard `variant`.
        """
        for name in self.settings.variants:
            features, head = self.settings.variant(name)
            settings = self.settings.model_copy(update={"features": features, "head": head})
            self._write_stamp(self.artifact(f"settings/{stage}/{name}.json"), settings, stage)
        return self.artifact(f"settings/{stage}/{{variant}}.json")

    def _write_stamp(self, path: str, settings: Settings, stage: str) -> None:
        names = declared_sections(f"dseg.stages.{stage}")
        write_stamp(Path(path), sections(settings, *names))

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

    def check_inputs(self) -> None:
        """Look whether what no rule makes is there: base model and benchmarks.

        Raises:
            DsegError: The folder of the model or of a benchmark is missing.
        """
        for file in self.model()[:1]:
            if not Path(file).is_file():
                raise DsegError(
                    f"model.path: no pipeline in {self.settings.model.path}: expected the file "
                    f"{file}; name another folder, or a hub id together with model.revision"
                )
        for name, benchmark in self.settings.benchmarks.items():
            if not benchmark.root.startswith(WORLD) and not Path(benchmark.root).is_dir():
                raise DsegError(
                    f"benchmarks.{name}.root: no folder {benchmark.root}: unpack the benchmark "
                    "there, or change the setting"
                )

    # what there is

    @property
    def splits(self) -> list[str]:
        """The splits of the embedded world to render."""
        return list(self.settings.world.images)

    @property
    def variants(self) -> list[str]:
        """Names of the heads to train."""
        return list(self.settings.variants)

    def benchmarks(self, *layouts: str) -> list[str]:
        """Names of the benchmarks of these layouts; of all without any."""
        every = self.settings.benchmarks.items()
        return [name for name, benchmark in every if not layouts or benchmark.layout in layouts]

    def benchmark_folder(self, wildcards: Any) -> str:
        """The folder of the benchmark that a job's wildcard names."""
        root = self.settings.benchmark(wildcards.benchmark).root
        return self.artifact(root) if root.startswith(WORLD) else root

    def synthetic_shards(self, folder: str) -> list[str]:
        """The shards of a folder that holds one item for each prompt."""
        per_shard = self.settings.synthesis.items_per_shard
        return self._shards(folder, self.settings.prompts.count, per_shard)

    def benchmark_shards(
        self, folder: str, *, like: str, benchmarks: Sequence[str] | None = None
    ) -> list[str]:
        """The shards of folders `folder/<benchmark>` that hold one item for each image.

        Args:
            folder: A folder of artifacts.
            like: The section whose `items_per_shard` applies: recording or inversion.
            benchmarks: Their names; all if None.
        """
        per_shard = getattr(self.settings, like).items_per_shard
        names = self.benchmarks() if benchmarks is None else benchmarks
        return [
            path
            for name in names
            for path in self._shards(
                f"{folder}/{name}", self.settings.benchmark(name).images, per_shard
            )
        ]

    def _shards(self, folder: str, items: int, per_shard: int) -> list[str]:
        count = shard_count(items, per_shard)
        return [self.artifact(f"{folder}/{shard_name(index, count)}") for index in range(count)]

    def indices(self, shards: Sequence[str]) -> list[str]:
        """The index of each folder that these shards lie in."""
        folders = dict.fromkeys(Path(path).parent for path in shards)
        return [(folder / INDEX_NAME).as_posix() for folder in folders]


def write_schema(out: Path = SCHEMA) -> None:
    """Write the JSON schema of params.yaml.

    Args:
        out: Where.
    """
    text = json.dumps(json_schema(), indent=2) + "\n"
    write_atomically(out, lambda temporary: temporary.write_text(text, encoding="utf-8"))
