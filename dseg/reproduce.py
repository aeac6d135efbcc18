"""`make reproduce`: bring the results of a profile up to date, and both engines to one mind.

Snakemake computes, since it goes on with a killed run shard by shard, where DVC would delete the
outputs of an interrupted stage; DVC is told afterwards. Before that, what DVC has in its cache is
taken from there, and what DVC knows to be up to date but Snakemake does not (a clone brings no
records of Snakemake's) is marked so. What is touched is only what content hashes vouch for.
"""

import fcntl
import json
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dseg.duration import counted
from dseg.dvc_stages import dvc_file
from dseg.dvc_stages import run as derive
from dseg.errors import DsegError
from dseg.plan import Plan
from dseg.profiles import DEFAULT_PROFILE, STUDY_PROFILE
from dseg.stages.readme import run as update_readme
from dseg.stages.readme import write_study

TARGETS = ("all",)
QUIET = ("--quiet", "host", "rules")
_NOTHING = "Nothing to be done"  # what Snakemake says of a dry run without jobs


@dataclass(frozen=True)
class Stage:
    """A stage of dvc.yaml: what it reads and writes, and the rules of Snakemake behind it."""

    deps: frozenset[str]
    outs: frozenset[str]
    targets: tuple[str, ...]
    rules: tuple[str, ...]


def run(profile: str = DEFAULT_PROFILE) -> None:
    """Compute what is missing or out of date, log it, and say where the results are.

    Args:
        profile: Name of the profile.

    Raises:
        DsegError: Settings or inputs are not usable, a job failed, or another reproduction of
            this profile is running.
    """
    plan = Plan(profile)
    plan.check_inputs()
    with _alone(Path(plan.artifact(".reproduce.lock"))):
        _reproduce(plan)
    for name in ("tables", "figures", "report.html"):
        print(f"{name.removesuffix('.html'):8} {plan.result(name)}")


def _reproduce(plan: Plan) -> None:
    file = dvc_file(plan.profile)
    stages = read_stages(file)
    _without_git()
    changes = _changes(file)
    restorable = [out for name in restorable_stages(changes) for out in stages[name].outs]
    if restorable:
        cached = [out for out in restorable if out.startswith("artifacts/")]
        _call("dvc", "checkout", "--quiet", "--allow-missing", *cached, may_fail=True)
        changes = _changes(file)
    pending = _pending(plan, TARGETS)
    if pending:
        # DVC vouches for no more than its file makes it look at, and a profile may have come to
        # set other keys since that was derived.
        before = file.read_bytes()
        derive(plan.profile)
        if file.read_bytes() != before:
            stages, changes = read_stages(file), _changes(file)
        if _mark_fresh(plan, [stages[name] for name in fresh_stages(stages, changes)]):
            pending = _pending(plan, TARGETS)
    if pending:
        from_nothing = not Path(plan.artifact("prompts")).exists()
        results = Path(plan.result("run.json"))
        with counted(Path(plan.folder()), results, from_nothing=from_nothing):
            _compute(plan)
        changes = _changes(file)
    if changes:
        _call("dvc", "commit", "--quiet", "--force", file.as_posix())
    report = plan.result("report.html")
    if pending or not Path(report).is_file():
        _snakemake(plan, ["all"], "--report", report, *QUIET, quiet=True)
    if pending or not Path(plan.artifact("tracking.json")).is_file():
        _snakemake(plan, ["tracking"], *QUIET, quiet=True)
    if plan.profile == DEFAULT_PROFILE:
        update_readme(Path(plan.results()))
    if plan.profile == STUDY_PROFILE:
        write_study(Path(plan.results()), Path(plan.claims_page()))
    if not pending:
        print("nothing to be done: all results are up to date")


def read_stages(file: Path) -> dict[str, Stage]:
    """The stages of a dvc.yaml by name, in its order."""
    stages = {}
    for name, stage in yaml.safe_load(file.read_text(encoding="utf-8"))["stages"].items():
        words = shlex.split(stage["cmd"])
        first_option = next(i for i, word in enumerate(words) if word.startswith("--"))
        outs = (out if isinstance(out, str) else next(iter(out)) for out in stage["outs"])
        stages[name] = Stage(
            deps=frozenset(stage["deps"]),
            outs=frozenset(outs),
            targets=tuple(words[1:first_option]),
            rules=tuple(words[words.index("--allowed-rules") + 1 :]),
        )
    return stages


def restorable_stages(changes: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """The stages of which nothing changed except that files are gone.

    Args:
        changes: What `dvc status --json` says, by stage.
    """
    return [
        name
        for name, entries in changes.items()
        if any("changed outs" in entry for entry in entries)
        and all(
            isinstance(entry, dict)  # a changed command is said as text
            and all(what == "deleted" for kinds in entry.values() for what in kinds.values())
            for entry in entries
        )
    ]


def fresh_stages(stages: Mapping[str, Stage], changes: Mapping[str, Any]) -> list[str]:
    """The stages that DVC knows to be up to date, and all those that they build on as well."""
    fresh: list[str] = []
    stale: set[str] = set()  # outputs
    for name, stage in stages.items():  # each after those that it builds on
        if name in changes or stage.deps & stale:
            stale |= stage.outs
        else:
            fresh.append(name)
    return fresh


def _changes(file: Path) -> dict[str, Any]:
    said = _call("dvc", "status", "--json", file.as_posix(), quiet=True).stdout
    # Stages of another folder's dvc.yaml are listed as <file>:<stage>.
    return {name.rpartition(":")[2]: entries for name, entries in json.loads(said).items()}


def _mark_fresh(plan: Plan, fresh: Sequence[Stage]) -> bool:
    """Tell Snakemake of the stages that DVC vouches for; whether it had to be told."""
    targets = [target for stage in fresh for target in stage.targets]
    allowed = ["--allowed-rules", *(rule for stage in fresh for rule in stage.rules)]
    told = bool(targets) and _pending(plan, targets, *allowed)
    if told:
        _snakemake(plan, targets, "--touch", "--forceall", *QUIET, *allowed, quiet=True)
    return told


def _pending(plan: Plan, targets: Sequence[str], *options: str) -> bool:
    """Whether Snakemake would run a job."""
    said = _snakemake(plan, targets, "--dry-run", *QUIET, *options, quiet=True)
    return _NOTHING not in said


def _compute(plan: Plan) -> None:
    logs = Path(plan.artifact("logs"))
    before = {path: path.stat().st_mtime_ns for path in logs.rglob("*.log")}
    try:
        _snakemake(plan, TARGETS, "--prioritize", plan.longest_head(), *QUIET)
    except DsegError as error:
        errors = [
            line.removeprefix("error: ")
            for path in sorted(logs.rglob("*.log"))
            if path.stat().st_mtime_ns != before.get(path)
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines()
            if line.startswith("error: ")
        ]
        # What a job said in one line is clearer than that a job failed.
        raise DsegError(errors[0] if errors else str(error)) from error


def _snakemake(plan: Plan, targets: Sequence[str], *options: str, quiet: bool = False) -> str:
    # --nolock: `_alone` is the lock here, one that does not outlive a run that was killed.
    chosen = ["--config", f"profile={plan.profile}", "--nolock"]
    done = _call("snakemake", *targets, *chosen, *options, quiet=quiet)
    return f"{done.stdout}{done.stderr}"


def _call(
    *command: str, quiet: bool = False, may_fail: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run a program; what it says is shown, or kept in the result if `quiet`.

    Raises:
        DsegError: It failed; with what it said, if that was not shown.
    """
    sys.stdout.flush()
    done = subprocess.run(command, capture_output=quiet, text=True, check=False)
    if done.returncode and not may_fail:
        said = f"\n{done.stdout}{done.stderr}".rstrip() if quiet else ""
        raise DsegError(f"{' '.join(command[:2])} failed (status {done.returncode}){said}")
    return done


def _without_git() -> None:
    """Let DVC work in an unpacked archive: it looks for git unless told that there is none."""
    if not Path(".git").exists():
        _call("dvc", "config", "--local", "core.no_scm", "true", quiet=True)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold a lock that ends with the process, however it ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DsegError(f"{path}: another reproduction of this profile is running") from error
        yield
