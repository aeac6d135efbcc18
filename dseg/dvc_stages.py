"""DVC's view of the workflow: dvc.yaml, derived from the graph that Snakemake reports.

A stage of DVC is what one target of the workflow asks for: a folder of artifacts or results with
all rules that write into it, or of heads and predictions the folders of one set of variants, so
that a changed variant makes no other set stale. Its command lets Snakemake run these rules and no
others, so DVC alone decides what is run. The graph is read from a dry run; the files in git are
held against it by a test.
"""

import os
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from dseg import ablations, comparison
from dseg.config import REPLACED, load_settings
from dseg.errors import DsegError
from dseg.plan import MODEL_INDEX, Plan
from dseg.profiles import DEFAULT_PROFILE, PARAMS, PROFILES, profile_params
from dseg.provenance import declared_sections
from dseg.settings import Settings
from dseg.shards import write_atomically

HEADER = (
    "# Derived from the workflow by `python -m dseg dvc --profile {profile}`; not to be edited.\n"
)
# Training the base model is a run of its own: `all` does not make it, and DVC commits no stage
# whose files are not there. What is in MLflow is no artifact. Heads are of their sets.
NOT_STAGES = re.compile(r"all|base(_\w+)?|heads|tracking")
INSTRUMENTS = "instruments"  # likewise, where nothing but the base model's card asks for them
# Sections, and where the settings file of a job takes overrides of them from.
OVERRIDES = {
    "synthesis": ("syntheses",),
    "recording": ("recordings", "mask_recordings"),
    "features": ("variants",),
    "head": ("variants",),
    "inversion": ("inversions",),
}
# Folders whose folders, of one variant each, are of a stage only with others of their set.
BY_VARIANT = ("head", "predictions")
# The stages of the workflow whose jobs are of one variant each: settings/<stage>/<variant>...
OF_VARIANTS = ("head", "prediction")
# Folders that hold one folder for each of a set, and the set. What reads them all watches the set:
# a dependency that is gone from dvc.yaml is nothing that DVC would notice.
NAMED_BY = {"predictions": "variants", "recording_masks": "recordings"}
# The targets of sets of variants.
_SET = re.compile(r"(?:heads|predictions)_(\w+)")
_RULE = re.compile(r"^(?:local)?rule (\w+):$")
_FILES = re.compile(r"^    (input|output): (.+)$")


@dataclass
class Job:
    """A job of a rule: its files, and whether its rule can be asked for by name alone."""

    rule: str
    inputs: set[str] = field(default_factory=set)
    outputs: set[str] = field(default_factory=set)
    target: bool = False


def dvc_file(profile: str) -> Path:
    """Where the dvc.yaml of a profile lies."""
    return Path("dvc.yaml") if profile == DEFAULT_PROFILE else PROFILES / profile / "dvc.yaml"


def run(profile: str = DEFAULT_PROFILE) -> None:
    """Write the dvc.yaml of a profile.

    Args:
        profile: Name of the profile.

    Raises:
        DsegError: There is no such profile, its base model, class names or benchmarks are not
            there, or Snakemake cannot read the workflow.
    """
    Plan(profile).check_inputs()  # in one line, which Snakemake does not
    path = dvc_file(profile)
    text = document(profile)
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def document(profile: str) -> str:
    """The text of the dvc.yaml of a profile."""
    paths = profile_params(profile)
    files = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in paths]
    root = os.path.relpath(".", dvc_file(profile).parent)
    stages = stages_of(jobs_of(profile), profile, *files)
    if root != ".":
        stages = {name: {"wdir": root, **stage} for name, stage in stages.items()}
    shown = shown_by_dvc(load_settings(paths[0], paths[1:]), root)
    text = yaml.safe_dump({"stages": stages, **shown}, sort_keys=False, width=100)
    return HEADER.format(profile=profile) + text


def shown_by_dvc(settings: Settings, root: str) -> dict[str, Any]:
    """What `dvc metrics`, `dvc plots` and `dvc artifacts` are about.

    Args:
        settings: The settings of the profile.
        root: The root of the repository, as seen from the folder of the dvc.yaml.
    """
    artifacts, results = (
        os.path.normpath(f"{root}/{kind}/{settings.profile}") for kind in ("artifacts", "results")
    )
    plots: list[Any] = [f"{results}/figures/{name}.png" for name in comparison.figures(settings)]
    files: dict[str, Any] = {}
    head = ablations.default_variant(settings)
    if head is not None:
        folder = f"{artifacts}/head/{head}"
        curve = {f"{folder}/curve.csv": ["validation_iou"]}
        title = "Training of the head, on held-out synthetic pairs"
        # A line would run from the last epoch of one training to the first of the next.
        shown = {"x": "epoch", "y": curve, "title": title, "template": "scatter"}
        plots.append({"training": shown})
        files["head"] = {
            "path": f"{folder}/head.safetensors",
            "type": "model",
            "desc": "Segmentation head, the default variant",
        }
    files |= {
        "synthetic-images": {
            "path": f"{artifacts}/synthesis",
            "type": "dataset",
            "desc": "Synthetic images with the attention of their nouns",
        },
        "synthetic-masks": {
            "path": f"{artifacts}/masks",
            "type": "dataset",
            "desc": "Their masks by AttentionCut",
        },
    }
    return {"metrics": [f"{results}/metrics.json"], "plots": plots, "artifacts": files}


def jobs_of(profile: str) -> list[Job]:
    """All jobs of the workflow, from a dry run of all that can be asked for.

    Raises:
        DsegError: Snakemake cannot read the workflow; with what it said.
    """
    targets = _snakemake(profile, "--list-target-rules").split()
    jobs: list[Job] = []
    for line in _snakemake(profile, *targets, "--dry-run", "--forceall").splitlines():
        if match := _RULE.match(line):
            jobs.append(Job(match[1], target=match[1] in targets))
        elif (match := _FILES.match(line)) and jobs:
            files = jobs[-1].inputs if match[1] == "input" else jobs[-1].outputs
            files |= set(match[2].split(", "))
    return jobs


def stages_of(
    jobs: Iterable[Job],
    profile: str,
    params: Mapping[str, Any],
    override: Mapping[str, Any] | None = None,
) -> dict[str, dict[str, Any]]:
    """DVC's stages, in the order of the graph.

    Args:
        jobs: The jobs of the workflow.
        profile: Name of the profile.
        params: Content of params.yaml.
        override: Content of the profile's own params.yaml, if it has one.
    """
    stages = {}
    groups = _groups([job for job in jobs if not NOT_STAGES.fullmatch(job.rule)])
    for folders, group in _in_order(groups).items():
        inputs = set().union(*(job.inputs for job in group))
        stamps = {path for path in inputs if path.startswith(f"artifacts/{profile}/settings/")}
        deps = _watched(inputs - stamps) - folders
        keys = _keys(stamps, profile, params, override or {})
        keys |= {NAMED_BY[kind] for kind in map(_kind, deps) if kind in NAMED_BY}
        stage = {
            "cmd": _command(group, profile),
            "deps": sorted(deps),
            "params": _said_where(keys, profile, params, override),
            "outs": [_out(folder) for folder in sorted(folders)],
        }
        stages[_title(folders, group)] = {key: value for key, value in stage.items() if value}
    return stages


def _groups(jobs: Sequence[Job]) -> dict[frozenset[str], list[Job]]:
    """The jobs of each stage, by the folders that they write to."""
    read = set().union(*(job.inputs for job in jobs if job.rule != INSTRUMENTS))
    groups: dict[frozenset[str], list[Job]] = {}  # by what they have in common
    for job in sorted(jobs, key=lambda job: (job.rule, sorted(job.outputs))):
        if job.rule == INSTRUMENTS and not job.outputs & read:
            continue
        own = frozenset(_unit(path) for path in job.outputs or job.inputs)
        sharing = [units for units in groups if units & own]
        others = [other for units in sharing for other in groups.pop(units)]
        groups[own.union(*sharing)] = [*others, job]
    return {
        frozenset(_folder(path) for job in group for path in job.outputs): group
        for group in groups.values()
    }


def _title(folders: Iterable[str], group: Iterable[Job]) -> str:
    """Folders of artifacts are named for what they hold, those of results for their rule."""
    rules = sorted({job.rule for job in group})
    kinds = {_kind(folder) for folder in folders}
    title = rules[0] if len(kinds) > 1 else kinds.pop()
    sets = [match[1] for rule in rules if (match := _SET.fullmatch(rule))]
    return "-".join([title, *sets])


def _out(folder: str) -> Any:
    return folder if folder.startswith("artifacts/") else {folder: {"cache": False}}


def _command(group: Sequence[Job], profile: str) -> str:
    rules = sorted({job.rule for job in group})
    chosen = [] if profile == DEFAULT_PROFILE else ["--config", f"profile={profile}"]
    # --nolock: DVC has a lock of its own, and Snakemake's outlives a run that was killed.
    options = ["--nolock", "--quiet", "host", "progress", "rules", "--allowed-rules"]
    return " ".join(["snakemake", *_targets(group), *chosen, *options, *rules])


def _targets(group: Sequence[Job]) -> list[str]:
    """The rules to ask for, and files that none of these needs, such as of a folder in part."""
    asked = [job for job in group if job.target]
    left = [job for job in group if not job.target]
    for job in asked:  # grows: what they need, and what that needs
        asked += [other for other in left if other.outputs & job.inputs]
        left = [other for other in left if not other.outputs & job.inputs]
    read = set().union(*(job.inputs for job in left))
    files = [min(job.outputs) for job in left if not job.outputs & read]
    return sorted({job.rule for job in group if job.target}) + sorted(files)


def _keys(
    stamps: Iterable[str], profile: str, params: Mapping[str, Any], override: Mapping[str, Any]
) -> set[str]:
    """The keys that the stages of these settings files read."""
    keys: set[str] = set()
    for stamp in stamps:
        path = Path(stamp).relative_to(f"artifacts/{profile}/settings")
        stage, *job = path.with_suffix("").parts
        read = {*declared_sections(f"dseg.stages.{stage}")}
        keys |= read
        if job:  # with the overrides of a job merged in
            whole = {key.partition(".")[0] for key in read}
            sets = {name for section in whole & OVERRIDES.keys() for name in OVERRIDES[section]}
            own = stage in OF_VARIANTS
            keys |= _of_variant(job[0], sets, params, override) if own else sets
    return keys


def _said_where(
    keys: Iterable[str],
    profile: str,
    params: Mapping[str, Any],
    override: Mapping[str, Any] | None,
) -> list[Any]:
    """Keys, in the files that say them."""
    if override is None:
        return sorted(keys)
    base: set[str] = set()
    own: set[str] = set()
    for key in keys:
        for said_by_override, name in _sayers(key, params, override):
            (own if said_by_override else base).add(name)
    where = [(PARAMS, base), ((PROFILES / profile / PARAMS).as_posix(), own)]
    return [{file: sorted(names)} for file, names in where if names]


def _of_variant(
    variant: str, sets: Iterable[str], params: Mapping[str, Any], override: Mapping[str, Any]
) -> set[str]:
    """The keys of a variant and of the inversion that it reads, instead of these whole sets."""

    def said(key: str) -> Any:
        above = _lookup(override, key)
        return _lookup(params, key) if above is None else above

    changes = said("variants").get(variant, {})
    inversion = _lookup(changes, "features.inversion") or said("features.inversion")
    names = {"variants": f"variants.{variant}", "inversions": f"inversions.{inversion}"}
    return {names.get(each, each) for each in sets}


def _sayers(
    key: str, params: Mapping[str, Any], override: Mapping[str, Any]
) -> list[tuple[bool, str]]:
    """(whether the override says it, key), for both files where both say a part of the key.

    Whole sections, since a key that is added to a section later must not go unnoticed.
    """
    whole = key.partition(".")[0]
    if whole in REPLACED and whole in override:
        return [(True, key)]
    below, above = _lookup(params, key), _lookup(override, key)
    if above is None:
        return [(False, key)]
    if not isinstance(below, dict) or not isinstance(above, dict) or key in REPLACED:
        return [(True, key)]
    return [(False, key), (True, key)]


def _lookup(values: Any, key: str) -> Any:
    for part in key.split("."):
        if not isinstance(values, dict) or part not in values:
            return None
        values = values[part]
    return values


def _unit(path: str) -> str:
    """What is of one stage: a folder of artifacts or results, or that of one variant in it."""
    parts = Path(path).parts
    return "/".join(parts[: 4 if _kind(path) in BY_VARIANT else 3])


def _folder(path: str) -> str:
    """The folder of artifacts or results that a file belongs to.

    artifacts/<profile>/<folder>, or artifacts/<profile>/<folder>/<name> where a folder holds one
    for each variant, inversion, recording or mask method.
    """
    parts = Path(path).parts
    return "/".join(parts[: min(max(len(parts) - 1, 3), 4)])


def _kind(path: str) -> str:
    """The <folder> of artifacts/<profile>/<folder>, results likewise; empty for what lies above."""
    return "".join(Path(path).parts[2:3])


def _watched(paths: Iterable[str]) -> set[str]:
    """What DVC watches for inputs: whole folders of artifacts and base models, else the files."""
    paths = list(paths)
    models = [str(Path(path).parent) for path in paths if Path(path).name == MODEL_INDEX]
    watched = set()
    for path in paths:
        if path.startswith(("artifacts/", "results/")):
            watched.add(_folder(path))
        else:
            watched.add(next((model for model in models if path.startswith(f"{model}/")), path))
    return watched


def _in_order(groups: Mapping[frozenset[str], list[Job]]) -> dict[frozenset[str], list[Job]]:
    """The groups by their folders, each after those that its rules read."""
    needs = {
        folders: _watched(path for job in group for path in job.inputs) - folders
        for folders, group in groups.items()
    }
    made = frozenset[str]().union(*groups)
    ordered: dict[frozenset[str], list[Job]] = {}
    while len(ordered) < len(groups):
        done = frozenset[str]().union(*ordered)
        ready = {
            folders: group
            for folders, group in groups.items()
            if folders not in ordered and needs[folders] & made <= done
        }
        if not ready:
            raise DsegError("folders of artifacts need each other: give their rules folders apart")
        ordered |= ready
    return ordered


def _snakemake(profile: str, *arguments: str) -> str:
    command = ["snakemake", *arguments, "--quiet", "host", "--config", f"profile={profile}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DsegError(f"snakemake cannot read the workflow:\n{done.stderr.strip()}")
    return done.stdout
