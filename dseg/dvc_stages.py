"""DVC's view of the workflow: dvc.yaml, derived from the graph that Snakemake reports.

A stage of DVC is a top folder of artifacts or results with all rules that write into it. Its
command lets Snakemake run these rules and no others, so DVC alone decides what is run. The graph
is read from a dry run; the files in git are held against it by a test.
"""

import os
import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from dseg import ablations, comparison
from dseg.config import REPLACED, load_settings
from dseg.errors import DsegError
from dseg.plan import MODEL_INDEX
from dseg.profiles import DEFAULT_PROFILE, PARAMS, PROFILES, profile_params
from dseg.provenance import declared_sections
from dseg.settings import Settings
from dseg.shards import write_atomically

HEADER = (
    "# Derived from the workflow by `python -m dseg dvc --profile {profile}`; not to be edited.\n"
)
# Training the base model is a run of its own: `all` does not make it, and DVC commits no stage
# whose files are not there. What is in MLflow is no artifact.
NOT_STAGES = re.compile(r"all|base(_\w+)?|tracking")
INSTRUMENTS = "instruments"  # likewise, where nothing but the base model's card asks for them
# Sections, and where the settings file of a job takes overrides of them from.
OVERRIDES = {
    "synthesis": ("syntheses",),
    "recording": ("recordings", "mask_recordings"),
    "features": ("variants",),
    "head": ("variants",),
    "inversion": ("inversions",),
}
_RULE = re.compile(r"^(?:local)?rule (\w+):$")
_FILES = re.compile(r"^    (input|output): (.+)$")


@dataclass
class Rule:
    """The files of all jobs of a rule, and whether it can be asked for by name alone."""

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
        DsegError: There is no such profile, or Snakemake cannot read the workflow.
    """
    path = dvc_file(profile)
    text = document(profile)
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def document(profile: str) -> str:
    """The text of the dvc.yaml of a profile."""
    paths = profile_params(profile)
    files = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in paths]
    root = os.path.relpath(".", dvc_file(profile).parent)
    stages = stages_of(rules_of(profile), profile, *files)
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


def rules_of(profile: str) -> dict[str, Rule]:
    """All rules of the workflow by name, from a dry run of all that can be asked for.

    Raises:
        DsegError: Snakemake cannot read the workflow; with what it said.
    """
    targets = _snakemake(profile, "--list-target-rules").split()
    rules: dict[str, Rule] = {}
    rule = Rule()
    for line in _snakemake(profile, *targets, "--dry-run", "--forceall").splitlines():
        if match := _RULE.match(line):
            rule = rules.setdefault(match[1], Rule(target=match[1] in targets))
        elif match := _FILES.match(line):
            files = rule.inputs if match[1] == "input" else rule.outputs
            files |= set(match[2].split(", "))
    return rules


def stages_of(
    rules: Mapping[str, Rule],
    profile: str,
    params: Mapping[str, Any],
    override: Mapping[str, Any] | None = None,
) -> dict[str, dict[str, Any]]:
    """DVC's stages, in the order of the graph.

    Args:
        rules: The rules of the workflow.
        profile: Name of the profile.
        params: Content of params.yaml.
        override: Content of the profile's own params.yaml, if it has one.
    """
    groups: dict[frozenset[str], list[str]] = {}
    for name, rule in sorted(rules.items()):
        if NOT_STAGES.fullmatch(name) or (name == INSTRUMENTS and not _is_read(rules, name)):
            continue
        own = frozenset(_folder(path) for path in rule.outputs or rule.inputs)
        sharing = [folders for folders in groups if folders & own]
        names = [other for folders in sharing for other in groups.pop(folders)]
        groups[own.union(*sharing)] = sorted([*names, name])
    stages = {}
    for folders in _in_order(groups, rules):
        names = groups[folders]
        inputs = set().union(*(rules[name].inputs for name in names))
        stamps = {path for path in inputs if path.startswith(f"artifacts/{profile}/settings/")}
        stage = {
            "cmd": _command(names, rules, profile),
            "deps": sorted(_watched(inputs - stamps) - folders),
            "params": _params(stamps, profile, params, override),
            "outs": [_out(folder) for folder in sorted(folders)],
        }
        # Folders of artifacts are named for what they hold, those of results for their rule.
        title = names[0] if len(folders) > 1 else Path(*folders).name
        stages[title] = {key: value for key, value in stage.items() if value}
    return stages


def _is_read(rules: Mapping[str, Rule], name: str) -> bool:
    """Whether a rule of some stage reads what this one writes."""
    return any(
        rule.inputs & rules[name].outputs
        for other, rule in rules.items()
        if other != name and not NOT_STAGES.fullmatch(other)
    )


def _out(folder: str) -> Any:
    return folder if folder.startswith("artifacts/") else {folder: {"cache": False}}


def _command(names: list[str], rules: Mapping[str, Rule], profile: str) -> str:
    targets = [name for name in names if rules[name].target]
    # Files that none of these leads to are asked for themselves: they would not be made, and with
    # no target at all Snakemake would turn to everything.
    read = {path for name in names for path in rules[name].inputs}
    made = {path for name in names if not rules[name].target for path in rules[name].outputs}
    targets += sorted(made - read)
    chosen = [] if profile == DEFAULT_PROFILE else ["--config", f"profile={profile}"]
    # --nolock: DVC has a lock of its own, and Snakemake's outlives a run that was killed.
    options = ["--nolock", "--quiet", "host", "progress", "rules", "--allowed-rules"]
    return " ".join(["snakemake", *targets, *chosen, *options, *names])


def _params(
    stamps: Iterable[str],
    profile: str,
    params: Mapping[str, Any],
    override: Mapping[str, Any] | None,
) -> list[Any]:
    """The keys that the stages of these settings files read, in the files that say them."""
    keys: set[str] = set()
    for stamp in stamps:
        stage, *job = Path(stamp).relative_to(f"artifacts/{profile}/settings").parts
        read = {*declared_sections(f"dseg.stages.{stage.removesuffix('.json')}")}
        keys |= read
        if job:  # with the overrides of a job merged in
            whole = {key.partition(".")[0] for key in read}
            keys |= {name for section in whole & OVERRIDES.keys() for name in OVERRIDES[section]}
    if override is None:
        return sorted(keys)
    base: set[str] = set()
    own: set[str] = set()
    for key in keys:
        for said_by_override, name in _sayers(key, params, override):
            (own if said_by_override else base).add(name)
    where = [(PARAMS, base), ((PROFILES / profile / PARAMS).as_posix(), own)]
    return [{file: sorted(names)} for file, names in where if names]


def _sayers(
    key: str, params: Mapping[str, Any], override: Mapping[str, Any]
) -> list[tuple[bool, str]]:
    """(whether the override says it, key), for both files where both say a part of the key.

    Whole sections, since a key that is added to a section later must not go unnoticed.
    """
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


def _folder(path: str) -> str:
    """The folder of artifacts or results that a file belongs to: artifacts/<profile>/<folder>."""
    return "/".join(Path(path).parts[:3])


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


def _in_order(
    groups: Mapping[frozenset[str], list[str]], rules: Mapping[str, Rule]
) -> list[frozenset[str]]:
    """The groups of folders, each after those that its rules read."""
    needs = {
        folders: _watched(path for name in names for path in rules[name].inputs) - folders
        for folders, names in groups.items()
    }
    made = frozenset[str]().union(*groups)
    ordered: list[frozenset[str]] = []
    while len(ordered) < len(groups):
        done = frozenset[str]().union(*ordered)
        ready = [
            folders
            for folders in groups
            if folders not in ordered and needs[folders] & made <= done
        ]
        if not ready:
            raise DsegError("folders of artifacts need each other: give their rules folders apart")
        ordered += ready
    return ordered


def _snakemake(profile: str, *arguments: str) -> str:
    command = ["snakemake", *arguments, "--quiet", "host", "--config", f"profile={profile}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DsegError(f"snakemake cannot read the workflow:\n{done.stderr.strip()}")
    return done.stdout
