"""Throw-away clones of the repository that whole runs of the workflow are made in."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml
from filelock import FileLock

DVC = "workflow/profiles/smoke/dvc.yaml"
PARAMS = "workflow/profiles/smoke/params.yaml"
LOCK = "workflow/profiles/smoke/dvc.lock"
SNAKEMAKE = "snakemake", "--config", "profile=smoke", "--nolock"
NOTHING = "Nothing to be done"
# Rules of Snakemake and stages of DVC that a change runs again.
SCORED = {"evaluation", "summary", "tables", "figures", "claims"}
PREDICTED = {"head", "prediction"} | SCORED
CUT = {"attentioncut", "mask_methods"}


class Clone:
    """A working copy of the repository."""

    def __init__(self, folder: Path):
        """The one that lies in ``folder``."""
        self.folder = folder
        # Modules of the clone itself come first, as in an environment of its own.
        self.env = os.environ | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(folder),
            "PROFILE": "smoke",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
        self.env.pop("SNAKEMAKE_PROFILE", None)

    @classmethod
    def of(cls, source: Path, folder: Path):
        """A new one of ``source``, a repository: what is committed there."""
        subprocess.run(["git", "clone", "--quiet", source, folder], check=True)
        return cls(folder)

    def copy(self, folder: Path):
        """All that lies in this one, artifacts and caches too, in another folder."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Clone(folder)

    def call(self, *command, check=True):
        done = subprocess.run(
            command, cwd=self.folder, env=self.env, capture_output=True, text=True, check=False
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def reproduce(self, *, check=True):
        """What `make reproduce` calls; the rules whose jobs ran, if all went well."""
        done = self.call("bash", "workflow/reproduce.sh", check=check)
        return done if not check else (done.stdout, rules_run(done))

    def repro(self):
        """The same by DVC; the stages that ran."""
        return stages_run(self.call("bash", "workflow/repro-dvc.sh"))

    def set(self, section, **values):
        """Say settings in the profile; None takes one out."""
        path = self.folder / PARAMS
        params = yaml.safe_load(path.read_text())
        changed = params.get(section, {}) | values
        params[section] = {key: value for key, value in changed.items() if value is not None}
        path.write_text(yaml.safe_dump(params))

    def digests(self, *folders, besides=("settings", "logs", "tracking.json")):
        """Hashes of all files below folders, by path."""
        return {
            str(path.relative_to(self.folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for folder in folders
            for path in sorted((self.folder / folder).rglob("*"))
            if path.is_file() and not path.name.startswith(".")
            if not {*path.relative_to(self.folder / folder).parts} & {*besides}
        }

    def tables(self):
        return self.digests("results/smoke/tables") | self.digests("results/smoke/metrics.json")

    def agree(self):
        """Whether neither engine has anything to do."""
        idle = NOTHING in said(self.call(*SNAKEMAKE, "--dry-run"))
        return idle and self.call("dvc", "status", "--quiet", DVC, check=False).returncode == 0

    def commit(self):
        self.call("git", "add", "--all")
        self.call("git", "add", "--force", "results/smoke")
        identity = ["-c", "user.name=a test", "-c", "user.email=test@example.org"]
        self.call("git", *identity, "commit", "--quiet", "--message", "Run the smoke profile")


def at_once(*calls):
    """What they return, in their order. A run this small keeps a single core busy."""
    with ThreadPoolExecutor() as threads:
        return [started.result() for started in [threads.submit(call) for call in calls]]


def said(done):
    return done.stdout + done.stderr


def rules_run(done):
    return {*re.findall(r"Finished jobid: \d+ \(Rule: (\w+)\)", said(done))} - {"all", "tracking"}


def stages_run(done):
    return {name.rpartition(":")[2] for name in re.findall(r"Running stage '(.+?)'", said(done))}


def fails_with(done, pattern):
    """Check that a command ended with one clear line."""
    lines = [line for line in said(done).splitlines() if line.startswith("error: ")]
    assert done.returncode != 0 and "Traceback" not in said(done)
    assert lines and re.search(pattern, lines[-1]), said(done)


def copy_of_working_tree(root: Path, folder: Path):
    """A clone of the repository with what is not committed there, and without our smoke run."""
    clone = Clone.of(root, folder)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (root / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / name, folder / name)
        else:
            (folder / name).unlink(missing_ok=True)
    (folder / LOCK).unlink(missing_ok=True)  # of a run of ours, of which these know nothing
    return clone


def run_to_its_end(clone, profile, tables, others=()):
    """Reproduce a profile, look for what it is to make, and reproduce it again."""
    clone.env["PROFILE"] = profile
    clone.reproduce()
    results = clone.folder / "results" / profile
    for name in (*(f"tables/{table}.csv" for table in tables), "report.html", *others):
        assert (results / name).is_file(), sorted(results.rglob("*"))
    output, _ = clone.reproduce()
    assert "nothing to be done" in output


@dataclass(frozen=True)
class FirstRun:
    """A finished run of the smoke profile from nothing, to be copied and not to be changed.

    Attributes:
        folder: The clone.
        ran: The rules or stages that ran.
        output: What `make reproduce` said.
        went_on: Whether it kept what there was of a killed run.
    """

    folder: Path
    ran: frozenset[str]
    output: str = ""
    went_on: bool = False

    def copy(self, folder: Path) -> Clone:
        """One to change."""
        return Clone(self.folder).copy(folder)


def made_once(folder: Path, make: Callable[[Path], FirstRun]) -> FirstRun:
    """What is made in ``folder``, by the first worker of the tests to ask; others wait for it."""
    record = folder.with_suffix(".json")
    with FileLock(folder.with_suffix(".lock")):
        if not record.exists():
            shutil.rmtree(folder, ignore_errors=True)  # of one that failed
            record.write_text(json.dumps(asdict(make(folder)), default=_plain))
    there = json.loads(record.read_text())
    return FirstRun(**there | {"folder": folder, "ran": frozenset(there["ran"])})


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Path) else sorted(value)


def killed_and_called_again(root: Path, folder: Path) -> FirstRun:
    """`make reproduce` in a clone in which a run was killed: Snakemake computes, DVC is told."""
    clone = copy_of_working_tree(root, folder)
    shard = _kill_while_synthesising(clone)
    written = shard.stat().st_mtime_ns
    output, ran = clone.reproduce()
    return FirstRun(folder, frozenset(ran), output, shard.stat().st_mtime_ns == written)


def undisturbed_by_dvc(root: Path, folder: Path) -> FirstRun:
    """A run by DVC alone."""
    return FirstRun(folder, frozenset(copy_of_working_tree(root, folder).repro()))


def _kill_while_synthesising(clone):
    """Kill a run between two shards of synthetic images; the shard that is there."""
    # One shard after the other; the lock that Snakemake leaves behind must not be in the way.
    running = subprocess.Popen(
        ["snakemake", "images-main", "--cores", "1", "--config", "profile=smoke"],
        cwd=clone.folder,
        env=clone.env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    folder, logs = (clone.folder / "artifacts/smoke" / name for name in ("images/main", "logs"))
    deadline = time.monotonic() + 600
    while len([*(logs / "synthesis/main").glob("*.log")]) < 2 or not any(folder.glob("*-of-*")):
        assert running.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    (shard,) = folder.glob("*-of-*")
    return shard
