"""Runs that are in each other's way, and one that was killed at its very end."""

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
from clones import SNAKEMAKE, fails_with

pytestmark = pytest.mark.slow


def kill_once_computed(clone):
    """Kill a run after its last result, before its report."""
    command = ["bash", "workflow/reproduce.sh"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(
        command, cwd=clone.folder, env=clone.env, start_new_session=True, **pipes
    ) as running:
        try:
            assert any("(100%) done" in line for line in running.stdout)
        finally:
            os.killpg(running.pid, signal.SIGKILL)


def logged(clone):
    """The threshold of every run in MLflow."""
    with closing(sqlite3.connect(clone.folder / "mlflow.db")) as store:
        query = "SELECT value FROM params WHERE key = 'evaluation.threshold'"
        return [value for (value,) in store.execute(query)]


def test_an_end_that_was_killed_is_made_up_for(broken):
    report, metrics = (broken.folder / "results/smoke" / n for n in ("report.html", "metrics.json"))
    broken.set("evaluation", threshold=0.3)
    kill_once_computed(broken)
    assert report.stat().st_mtime < metrics.stat().st_mtime and "0.3" not in logged(broken)
    output, ran = broken.reproduce()
    assert report.stat().st_mtime > metrics.stat().st_mtime and "0.3" in logged(broken)
    assert not ran and "nothing to be done" not in output


@pytest.mark.parametrize(
    "held", ["stack.enter_context(run_lock('smoke'))", "Plan('smoke').keep_others_out()"]
)
def test_a_run_keeps_others_of_its_profile_out(broken, held):
    """As `make reproduce` holds the lock, and as the Snakefile does, against both of them."""
    (broken.folder / "results/smoke/tables/saliency.csv").unlink()  # so that there is work
    before = broken.digests("artifacts", "results", besides=())
    code = (
        "import sys; from contextlib import ExitStack; stack = ExitStack();"
        f"from dseg.orchestration.plan import Plan, run_lock; {held};"
        "print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, cwd=broken.folder, env=broken.env, **pipes) as holder:
        assert holder.stdout.readline() == b"held\n"
        plain = broken.call(*SNAKEMAKE, check=False)
        reproduced = broken.reproduce(check=False)
        holder.communicate()
    for done in (plain, reproduced):
        fails_with(done, r"artifacts/smoke/\.run\.lock: another run of this profile is going on")
    assert broken.digests("artifacts", "results", besides=()) == before
    broken.call(*SNAKEMAKE)  # nothing is left locked
