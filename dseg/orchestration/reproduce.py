"""`make reproduce`: bring the results of a profile up to date, and both engines to one mind.

Snakemake computes, since it goes on with a killed run shard by shard, where DVC would delete the
outputs of an interrupted stage; DVC is told afterwards. Before that, what was changed by hand is
restored or computed anew, what DVC has in its cache is taken from there, and what DVC knows to be
up to date but Snakemake does not (a clone brings no records of Snakemake's) is marked so. What is
touched is only what content hashes vouch for.
"""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import psutil
import yaml

from dseg.errors import DsegError
from dseg.files import file_hash, write_text
from dseg.orchestration.duration import counted
from dseg.orchestration.dvc import derive, dvc_file, jobs_of, reason
from dseg.orchestration.plan import HELD, Plan, run_lock
from dseg.orchestration.records import (
    changed_by_hand,
    exchanged,
    has_computed,
    locked_outputs,
    restore,
)
from dseg.reporting.mlflow import check_store
from dseg.reporting.readme import run as update_readme
from dseg.reporting.readme import write_photos, write_study
from dseg.settings.profiles import DEFAULT_PROFILE, PHOTOS_PROFILE, STUDY_PROFILE
from dseg.stages.tracking import STORE

TARGETS = ("all",)
RWLOCK = Path(".dvc/tmp/rwlock")
GRACE = 10.0  # seconds for programs to end by themselves
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
    with run_lock(profile), _ended_by_signals():
        os.environ[HELD] = profile  # what is called here runs under this lock
        _reproduce(plan)
    for name in ("tables", "figures", "report.html"):
        print(f"{name.removesuffix('.html'):8} {plan.result(name)}")


def _reproduce(plan: Plan) -> None:
    file = dvc_file(plan.profile)
    lock, whole = file.with_suffix(".lock"), Path(plan.artifact(".whole"))
    check_store(STORE, plan.settings.tracking.experiment)
    check_rwlock()
    jobs = jobs_of(plan.profile)
    outputs = {path for job in jobs for path in job.outputs}
    derive(plan.profile, jobs)
    locked_outputs(lock)  # raises if it is damaged
    stages = read_stages(file)
    _without_git()
    changes = _changes(file)
    restorable = [
        out for name in restorable_stages(changes) if name in stages for out in stages[name].outs
    ]
    if restorable:
        cached = [out for out in restorable if out.startswith("artifacts/")]
        _call("dvc", "checkout", "--quiet", "--allow-missing", *cached, may_fail=True)
        changes = _changes(file)
    if _mend(plan, stages, changes, outputs, lock, whole):
        changes = _changes(file)
    _renew_exchanged(stages, changes)
    pending = _pending(plan, TARGETS)
    if pending and _mark_fresh(plan, [stages[name] for name in fresh_stages(stages, changes)]):
        pending = _pending(plan, TARGETS)
    if pending:
        from_nothing = not Path(plan.artifact("prompts")).exists()
        results = Path(plan.result("run.json"))
        with counted(Path(plan.folder()), results, from_nothing=from_nothing):
            _compute(plan)
        changes = _changes(file)
        if _mend(plan, stages, changes, outputs, lock, whole):
            raise DsegError("results were changed while they were computed: run this again")
    if changes:
        _call("dvc", "commit", "--quiet", "--force", file.as_posix(), quiet=True)
    whole.touch()  # from now on, what differs from the lock was computed later, or changed by hand
    shown = _show(plan, lock)
    if plan.profile == DEFAULT_PROFILE:
        update_readme(Path(plan.results()))
    if plan.profile == PHOTOS_PROFILE:
        write_photos(Path(plan.results()))
    if plan.profile == STUDY_PROFILE:
        write_study(Path(plan.results()), Path(plan.claims_page()))
    if not pending:
        print(
            "nothing to compute: the report was made and the results were logged"
            if shown
            else "nothing to be done: all results are up to date"
        )


def _mend(
    plan: Plan,
    stages: Mapping[str, Stage],
    changes: Mapping[str, Sequence[Any]],
    outputs: Collection[str],
    lock: Path,
    whole: Path,
) -> bool:
    """Restore what was changed by hand, or remove it, so that it is computed anew.

    Returns:
        Whether there was any.

    Raises:
        DsegError: There is a file among the outputs that no job makes.
    """
    different = {
        path
        for name, entries in changes.items()
        if name in stages
        for entry in entries
        if isinstance(entry, dict)
        for path, what in entry.get("changed outs", {}).items()
        if what in ("modified", "new")
    }
    if not different:
        return False
    cache = Path(_call("dvc", "cache", "dir", quiet=True).stdout.strip()) / "files" / "md5"
    since = whole.stat().st_mtime if whole.exists() else 0.0
    changed = changed_by_hand(different, locked_outputs(lock), cache, since)
    came = set() if has_computed() else {path for path, md5 in changed.items() if md5 is None}
    if came:  # as with a checkout of the repository, whose results are of another machine
        print(f"{plan.results()}: {len(came)} files that no job here has made; computing them anew")
    for path, md5 in changed.items():
        names = [path.as_posix(), *(parent.as_posix() for parent in path.parents)]
        made = next((name for name in names if name in outputs), None)
        if made is None:
            raise DsegError(
                f"{path}: no job makes this file, but its folder is for results: move it elsewhere"
            )
        if restore(path, md5, cache):
            print(f"{path}: changed since it was computed; restored from DVC's cache")
            continue
        if path not in came:
            print(f"{path}: changed since it was computed; computing it anew")
        if Path(made).is_dir():
            shutil.rmtree(made)
        else:
            path.unlink(missing_ok=True)
    return bool(changed)


def _renew_exchanged(stages: Mapping[str, Stage], changes: Mapping[str, Sequence[Any]]) -> None:
    """Give inputs that were exchanged for older files the time at which that was done."""
    made = {out for stage in stages.values() for out in stage.outs}
    for name, entries in changes.items():
        for entry in entries if name in stages else ():
            kinds = entry.get("changed deps", {}) if isinstance(entry, dict) else {}
            changed = [path for path, what in kinds.items() if what == "modified"]
            for path in exchanged({*changed} - made, stages[name].outs):
                os.utime(path)


def _show(plan: Plan, lock: Path) -> bool:
    """Make the report and log the results, unless both were done for results of the same hashes.

    Returns:
        Whether they were not.
    """
    report, shown = Path(plan.result("report.html")), Path(plan.artifact(".shown.json"))
    if report.is_file() and STORE.is_file() and shown.is_file():
        there = {"results": file_hash(lock), "report": file_hash(report)}
        if shown.read_bytes() == json.dumps(there).encode():
            return False
    _snakemake(plan, ["all"], "--report", str(report), *QUIET, quiet=True)
    _snakemake(plan, ["tracking"], "--forcerun", "tracking", *QUIET, quiet=True)
    there = {"results": file_hash(lock), "report": file_hash(report)}
    write_text(shown, json.dumps(there))
    return True


def check_rwlock() -> None:
    """Look whether DVC can read its list of what is in use, where there is one.

    Raises:
        DsegError: It is empty or damaged; DVC's own message does not say what to do.
    """
    try:
        if RWLOCK.exists():
            json.loads(RWLOCK.read_bytes())
    except ValueError as error:
        raise DsegError(
            f"{RWLOCK}: empty or damaged, as a crash leaves it: remove it once no command of DVC "
            "is running here"
        ) from error


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let SIGTERM, which batch systems and `make` send, and SIGHUP end this as Ctrl-C does."""

    def end(number: int, frame: object) -> NoReturn:
        raise SystemExit(128 + number)

    usual = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    for number, before in usual.items():
        if before is not signal.SIG_IGN:  # as `nohup` has it
            signal.signal(number, end)
    try:
        yield
    finally:
        for number, before in usual.items():
            signal.signal(number, before)


def read_stages(file: Path) -> dict[str, Stage]:
    """The stages of a dvc.yaml by name, in its order."""
    stages = {}
    for name, stage in yaml.safe_load(file.read_text(encoding="utf-8"))["stages"].items():
        words = shlex.split(stage["cmd"])
        if "--allowed-rules" not in words:  # writes the settings files, which a dry run does
            continue
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
    # --nolock: `locked` is the lock here, one that does not outlive a run that was killed.
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
    piped = subprocess.PIPE if quiet else None
    with subprocess.Popen(command, stdout=piped, stderr=piped, text=True) as program:
        try:
            out, err = program.communicate()
        except KeyboardInterrupt:  # the terminal has told the program as well
            _end(program, told=True)
            raise
        except SystemExit:
            _end(program, told=False)
            raise
    if program.returncode and not may_fail:
        said = f": {reason(out + err)}" if quiet else ""
        raise DsegError(f"{' '.join(command[:2])} failed (status {program.returncode}){said}")
    return subprocess.CompletedProcess(command, program.returncode, out or "", err or "")


def _end(program: "subprocess.Popen[str]", *, told: bool) -> None:
    """End a program and all that it has started, jobs too."""
    try:
        every = [psutil.Process(program.pid)]
        every += every[0].children(recursive=True)
    except psutil.NoSuchProcess:
        return
    for each in () if told else every:
        with suppress(psutil.NoSuchProcess):
            each.send_signal(signal.SIGINT)
    _, left = psutil.wait_procs(every, timeout=GRACE)
    for each in left:
        with suppress(psutil.NoSuchProcess):
            each.kill()


def _without_git() -> None:
    """Let DVC work in an unpacked archive: it looks for git unless told that there is none."""
    if not Path(".git").exists():
        _call("dvc", "config", "--local", "core.no_scm", "true", quiet=True)
