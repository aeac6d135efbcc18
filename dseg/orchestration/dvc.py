"""DVC's view of the workflow: dvc.yaml, derived from the graph that Snakemake reports.

A stage of DVC is what one target of the workflow asks for: a folder of artifacts or results with
all rules that write into it, or of heads and predictions the folders of one set of variants, so
that a changed variant makes no other set stale (`RunShards.targets`). Its command lets Snakemake
run these rules and no others, so DVC alone decides what is run. The graph is read from a dry run;
the files in git are held against it by a test.
"""

import os
import re
import shlex
import subprocess
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from dseg.errors import DsegError
from dseg.files import write_text
from dseg.orchestration.plan import MODEL_INDEX, Plan
from dseg.reporting import ablations, comparison
from dseg.settings.document import read_document
from dseg.settings.profiles import DEFAULT_PROFILE, PARAMS, PROFILES, profile_params
from dseg.settings.reading import load_settings
from dseg.settings.run import ATTENTIONCUT, Settings

HEADER = "# Derived from the workflow by `dseg stage dvc --profile {profile}`; not to be edited.\n"
ALL = "all"
SETTINGS = "settings"
SETTINGS_CODE = Path("dseg/settings")
# What makes masks of the benchmarks, a folder each. Stages that read them all watch these: a
# dependency that is gone from dvc.yaml is nothing that DVC would notice.
METHODS = ("recordings", "image_methods", "variants")
_RULE = re.compile(r"^(?:local)?rule ([\w-]+):$")
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
    derive(profile, jobs_of(profile))


def derive(profile: str, jobs: Sequence[Job]) -> None:
    """Write the dvc.yaml of a profile from the jobs of its run; one that is right is kept."""
    path, text = dvc_file(profile), document(profile, jobs)
    if not path.is_file() or path.read_bytes() != text.encode():
        write_text(path, text)


def document(profile: str, jobs: Sequence[Job]) -> str:
    """The text of the dvc.yaml of a profile."""
    paths = profile_params(profile)
    root = os.path.relpath(".", dvc_file(profile).parent)
    own = [read_document(path) for path in paths[1:]]
    settings = load_settings(paths[0], paths[1:])
    stages = stages_of(jobs, settings, {key for part in own for key in part})
    if root != ".":
        stages = {name: {"wdir": root, **stage} for name, stage in stages.items()}
    shown = shown_by_dvc(settings, root)
    shown["params"] = [os.path.normpath(f"{root}/{path}") for path in paths]
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
            "path": f"{artifacts}/images/{settings.head.synthesis}",
            "type": "dataset",
            "desc": "Synthetic images with the attention of their nouns",
        },
        "synthetic-masks": {
            "path": f"{artifacts}/masks/{settings.head.synthesis}/{ATTENTIONCUT}",
            "type": "dataset",
            "desc": "Their masks by AttentionCut",
        },
    }
    return {"metrics": [f"{results}/metrics.json"], "plots": plots, "artifacts": files}


def jobs_of(profile: str) -> list[Job]:
    """The jobs of a run of a profile, all that the target `all` needs, from a dry run.

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
    return jobs_of_run(jobs)


def jobs_of_run(jobs: Sequence[Job]) -> list[Job]:
    """Of all jobs those that `all` needs, and the targets that ask for nothing else.

    DVC commits no stage whose files are not there, so there are no stages of what other targets
    make, like the training of the base model or splits that no benchmark of a profile is.
    """
    needed = set().union(*(job.inputs for job in jobs if job.rule == ALL))
    kept: list[Job] = []
    left = [job for job in jobs if job.rule != ALL]
    while found := [job for job in left if job.outputs & needed]:
        kept += found
        left = [job for job in left if not job.outputs & needed]
        needed |= set().union(*(job.inputs for job in found))
    made = needed.union(*(job.outputs for job in kept))
    return kept + [job for job in left if not job.outputs and job.inputs and job.inputs <= made]


def stages_of(
    jobs: Sequence[Job], settings: Settings, own: Collection[str] = ()
) -> dict[str, dict[str, Any]]:
    """DVC's stages, in the order of the graph.

    Args:
        jobs: The jobs of the run.
        settings: The profile's.
        own: The sections that the profile's own params.yaml says.
    """
    profile = settings.profile
    predicted = tuple(f"artifacts/{profile}/masks/{name}/" for name in settings.benchmarks)
    inputs = set().union(*(job.inputs for job in jobs))
    stamps = {path for path in inputs if path.startswith(f"artifacts/{profile}/settings/")}
    stages = {SETTINGS: _settings_stage(stamps, profile)} if stamps else {}
    for folders, group in _in_order(_groups(jobs)).items():
        deps = _watched(set().union(*(job.inputs for job in group))) - folders
        sets: dict[str, list[str]] = {}
        for name in METHODS if any(path.startswith(predicted) for path in deps) else ():
            file = (PROFILES / profile / PARAMS).as_posix() if name in own else PARAMS
            sets.setdefault(file, []).append(name)
        stage = {
            "cmd": _command(group, profile),
            "deps": sorted(_plain(path) for path in deps),
            "params": [{file: names} for file, names in sets.items()],
            "outs": [_out(folder) for folder in sorted(folders)],
        }
        stages[_title(group)] = {key: value for key, value in stage.items() if value}
    return stages


def _groups(jobs: Sequence[Job]) -> dict[frozenset[str], list[Job]]:
    """The jobs of each stage, by the folders that they write to."""
    groups: dict[frozenset[str], list[Job]] = {}  # by what they have in common
    for job in sorted(jobs, key=lambda job: (job.rule, sorted(job.outputs))):
        own = frozenset(_folder(path) for path in job.outputs or job.inputs)
        sharing = [units for units in groups if units & own]
        others = [other for units in sharing for other in groups.pop(units)]
        groups[own.union(*sharing)] = [*others, job]
    return {
        frozenset(_folder(path) for job in group for path in job.outputs): group
        for group in groups.values()
    }


def _title(group: Sequence[Job]) -> str:
    """The target that asks for the whole of it, or else the rule that makes it."""
    asking = {job.rule for job in group if job.target and not job.outputs}
    return min(asking or {job.rule for job in group})


def _out(folder: str) -> Any:
    return folder if folder.startswith("artifacts/") else {folder: {"cache": False}}


def _plain(path: str) -> str:
    """A path as DVC reads it: `${` would begin one of its own expressions."""
    return path.replace("${", "\\${")


def _command(group: Sequence[Job], profile: str) -> str:
    rules = sorted({job.rule for job in group})
    chosen = [] if profile == DEFAULT_PROFILE else ["--config", f"profile={profile}"]
    # --nolock: DVC has a lock of its own, and Snakemake's outlives a run that was killed.
    options = ["--nolock", "--quiet", "host", "progress", "rules", "--allowed-rules"]
    return shlex.join(["snakemake", *_targets(group), *chosen, *options, *rules])


def _targets(group: Sequence[Job]) -> list[str]:
    """The rules to ask for: without one Snakemake would make everything."""
    targets = sorted({job.rule for job in group if job.target})
    if not targets:
        rules = ", ".join(sorted({job.rule for job in group}))
        raise DsegError(f"no target asks for what is made by {rules}: add one to Plan.targets")
    return targets


def _settings_stage(stamps: Iterable[str], profile: str) -> dict[str, Any]:
    """The stage that all others build on: it writes the settings files that their jobs read.

    It watches the whole files that say settings, since DVC notices no key that is added to a
    section later. A stage reruns when the settings that it reads change, whoever says them.
    """
    chosen = [] if profile == DEFAULT_PROFILE else ["--config", f"profile={profile}"]
    code = sorted(path.as_posix() for path in SETTINGS_CODE.glob("*.py"))
    return {
        "cmd": " ".join(["snakemake", "--list-target-rules", "--quiet", "host", *chosen]),
        "deps": sorted([*code, *(path.as_posix() for path in profile_params(profile))]),
        # Kept while it runs: Snakemake judges by their time whether they changed.
        "outs": [{stamp: {"cache": False, "persist": True}} for stamp in sorted(stamps)],
    }


def _folder(path: str) -> str:
    """The folder of artifacts or results that a file lies in; a file beside them is its own."""
    parts = Path(path).parts
    return "/".join(parts[: max(len(parts) - 1, 3)])


def _watched(paths: Iterable[str]) -> set[str]:
    """What DVC watches for inputs: whole folders of artifacts and base models, else the files."""
    paths = list(paths)
    models = [str(Path(path).parent) for path in paths if Path(path).name == MODEL_INDEX]
    watched = set()
    for path in paths:
        if path.startswith(("artifacts/", "results/")) and Path(path).parts[2] != SETTINGS:
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
        executor = os.environ.get("SNAKEMAKE_PROFILE")
        options = (
            f" (SNAKEMAKE_PROFILE={executor} adds options: correct them, install the plugin of the "
            "executor that they name, or unset it)"
        )
        why = f"{reason(done.stderr)}{options if executor else ''}"
        raise DsegError(f"snakemake cannot read the workflow: {why}")
    return done.stdout


def reason(said: str) -> str:
    """Of what a failed program said, the line that says why."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"(\w+: )?(error|\w*Error\b)", line, re.I)]
    return (errors or lines or ["it did not say why"])[-1].removeprefix("error: ")
