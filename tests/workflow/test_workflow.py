"""The workflow as a whole: the smoke profile in throw-away clones, by both engines.

`finished` is a clone in which `make reproduce` was killed and called again (Snakemake computes,
DVC is told), `by_dvc` one in which DVC ran, undisturbed. The tests change them one after the
other; each leaves both engines in agreement. What both clones do they do at the same time: a run
of a profile this small keeps a single core busy.
"""

import hashlib
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from PIL import Image

pytestmark = pytest.mark.slow
DVC = "workflow/profiles/smoke/dvc.yaml"
PARAMS = "workflow/profiles/smoke/params.yaml"
LOCK = "workflow/profiles/smoke/dvc.lock"
SNAKEMAKE = "snakemake", "--config", "profile=smoke", "--nolock"
NOTHING = "Nothing to be done"
SCORED = {"evaluation", "summary", "tables", "figures", "claims"}
PREDICTED = {"head", "prediction"} | SCORED
STAGES_PREDICTED = {"head-main", "predictions-main"} | SCORED
CUT = {"attentioncut", "mask_methods"}
STAGES_CUT = {
    "masks-main-attentioncut",
    "masks-benchmarks-attentioncut-noise",
    "mask_methods",
}


class Clone:
    """A working copy of the repository, uncommitted changes included."""

    def __init__(self, folder, source):
        """Clone ``source``, a repository, and take over the files of its working tree."""
        subprocess.run(["git", "clone", "--quiet", source, folder], check=True)
        self.folder = folder
        # Modules of the clone itself come first, as in an environment of its own.
        self.env = os.environ | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(folder),
            "PROFILE": "smoke",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
        self.env.pop("SNAKEMAKE_PROFILE", None)

    def call(self, *command, check=True):
        done = subprocess.run(
            command, cwd=self.folder, env=self.env, capture_output=True, text=True, check=False
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def reproduce(self, *, check=True):
        """What `make reproduce PROFILE=smoke` calls; the rules whose jobs ran, if all went well."""
        done = self.call("bash", "workflow/reproduce.sh", check=check)
        return done if not check else (done.stdout, rules_run(done))

    def repro(self):
        """The same by DVC; the stages that ran."""
        done = self.call("bash", "workflow/repro-dvc.sh")
        return {
            name.rpartition(":")[2] for name in re.findall(r"Running stage '(.+?)'", done.stdout)
        }

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
    """What they return, in their order."""
    with ThreadPoolExecutor() as threads:
        return [started.result() for started in [threads.submit(call) for call in calls]]


def said(done):
    return done.stdout + done.stderr


def rules_run(done):
    return {*re.findall(r"Finished jobid: \d+ \(Rule: (\w+)\)", said(done))} - {"all", "tracking"}


def copy_of_working_tree(root, folder):
    clone = Clone(folder, root)
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


def kill_while_synthesising(clone):
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


@pytest.fixture(scope="module")
def clones(root, tmp_path_factory):
    killed, undisturbed = (
        copy_of_working_tree(root, tmp_path_factory.mktemp(name) / "dseg")
        for name in ("finished", "by-dvc")
    )

    def go_on():
        shard = kill_while_synthesising(killed)
        written = shard.stat().st_mtime_ns
        killed.said, killed.ran = killed.reproduce()
        killed.went_on = shard.stat().st_mtime_ns == written

    _, undisturbed.ran = at_once(go_on, undisturbed.repro)
    return killed, undisturbed


@pytest.fixture(scope="module")
def finished(clones):
    return clones[0]


@pytest.fixture(scope="module")
def by_dvc(clones):
    return clones[1]


@pytest.fixture
def broken(finished, tmp_path):
    """A copy of the finished clone to break something in."""
    shutil.copytree(finished.folder, tmp_path / "dseg", symlinks=True)
    clone = object.__new__(Clone)
    clone.folder = tmp_path / "dseg"
    clone.env = finished.env | {"PYTHONPATH": str(clone.folder)}
    return clone


def test_reproduce_ends_with_the_paths_of_tables_plots_and_report(finished):
    named = dict(line.split() for line in finished.said.splitlines()[-3:])
    assert named.keys() == {"tables", "figures", "report"}
    assert any((finished.folder / named["tables"]).glob("*.csv"))
    assert any((finished.folder / named["figures"]).glob("*.png"))
    assert "<html" in (finished.folder / named["report"]).read_text()[:1000]
    assert PREDICTED | CUT | {"synthesis", "inversion", "recording"} <= finished.ran
    assert finished.agree()


def test_a_second_run_has_nothing_to_do(finished):
    before = finished.digests("artifacts/smoke", besides=()) | finished.digests("results/smoke")
    output, ran = finished.reproduce()
    assert "nothing to be done" in output and not ran
    after = finished.digests("artifacts/smoke", besides=()) | finished.digests("results/smoke")
    assert after == before


def test_a_killed_run_goes_on_with_what_is_finished(finished):
    assert "synthesis" in finished.ran and finished.went_on


def test_a_killed_run_and_an_undisturbed_one_agree_to_the_byte(finished, by_dvc):
    assert by_dvc.tables() == finished.tables() and len(by_dvc.tables()) > 10
    assert by_dvc.digests("artifacts/smoke") == finished.digests("artifacts/smoke")
    assert by_dvc.agree()


def test_metrics_and_plots_are_shown_by_dvc(by_dvc):
    shown = by_dvc.call("dvc", "metrics", "show", "results/smoke/metrics.json").stdout
    assert "masks/kept" in shown and "val/inversion/iou" in shown
    by_dvc.call("dvc", "plots", "show", "--out", "plots", "results/smoke/figures/masks.png")
    assert any((by_dvc.folder / "plots" / "static").glob("*masks.png"))
    shutil.rmtree(by_dvc.folder / "plots")


def test_a_changed_setting_reruns_what_reads_it_and_what_is_behind(finished, by_dvc):
    for clone in (finished, by_dvc):
        clone.set("attentioncut", lambda_self=7.5)
    before = finished.digests("artifacts/smoke")
    (_, rules), stages = at_once(finished.reproduce, by_dvc.repro)
    assert rules == CUT | PREDICTED
    assert stages == {"settings"} | STAGES_CUT | STAGES_PREDICTED
    assert all(at_once(finished.agree, by_dvc.agree))
    assert by_dvc.digests("artifacts/smoke") == finished.digests("artifacts/smoke") != before


def test_an_edited_source_file_reruns_its_stage(finished, by_dvc):
    for clone in (finished, by_dvc):
        source = clone.folder / "dseg" / "stages" / "evaluation.py"
        with source.open("a") as file:
            file.write("\n# Edited.\n")
        os.utime(source, (1e9, 1e9))  # as it is when a backup is unpacked
    (_, rules), stages = at_once(finished.reproduce, by_dvc.repro)
    # DVC sees that the scores are the same as before, and stops there.
    assert rules == SCORED and stages == {"evaluation"}
    assert all(at_once(finished.agree, by_dvc.agree))


def test_deleted_artifacts_come_from_the_cache(finished, by_dvc):
    clones = finished, by_dvc
    before = [clone.digests("artifacts/smoke") for clone in clones]
    for clone in clones:
        shutil.rmtree(clone.folder / "artifacts")
    (output, rules), stages = at_once(finished.reproduce, by_dvc.repro)
    assert not rules and "nothing to compute" in output and not stages
    assert [clone.digests("artifacts/smoke") for clone in clones] == before
    assert all(at_once(finished.agree, by_dvc.agree))


def test_a_clone_pulls_from_a_remote_and_computes_nothing(finished, tmp_path):
    store = ["remote", "add", "--default", "store", str(tmp_path / "store")]
    finished.call("dvc", *store)
    finished.call("dvc", "push", "--quiet", DVC)
    finished.commit()
    clone = Clone(tmp_path / "elsewhere", finished.folder)
    clone.call("dvc", "pull", "--quiet", DVC)
    assert clone.digests("artifacts/smoke") == finished.digests("artifacts/smoke")
    output, ran = clone.reproduce()
    assert not ran and "nothing to compute" in output
    assert "Running stage" not in clone.call("dvc", "repro", DVC).stdout
    assert clone.agree()


def test_a_variant_added_and_removed_touches_its_set_alone(finished, by_dvc):
    clones, heads = (finished, by_dvc), "artifacts/smoke/head"
    main = finished.folder / heads / "inversion" / "head.safetensors"
    before = finished.tables(), main.stat().st_mtime_ns
    assert finished.tables() == by_dvc.tables()
    for clone in clones:
        clone.set("variants", another={"head": {"architecture": "linear"}})
    (_, rules), stages = at_once(finished.reproduce, by_dvc.repro)
    assert rules == {"head", "prediction"} | SCORED
    assert stages == {"settings", "head-heads", "predictions-heads"} | SCORED
    assert by_dvc.tables() == finished.tables() != before[0]
    assert by_dvc.digests(heads) == finished.digests(heads)
    assert all(at_once(finished.agree, by_dvc.agree))
    for clone in clones:
        clone.set("variants", another=None)
    (_, rules), stages = at_once(finished.reproduce, by_dvc.repro)
    # DVC has kept the scores; what goes into git is in none of its caches.
    assert rules == SCORED and stages - {"settings"} == SCORED - {"evaluation", "summary"}
    assert all(at_once(finished.agree, by_dvc.agree))
    assert by_dvc.tables() == finished.tables()
    assert (finished.tables(), main.stat().st_mtime_ns) == before


def test_what_was_changed_by_hand_is_named_and_not_adopted(broken):
    table = broken.folder / "results/smoke/tables/saliency.csv"
    (shard,) = (broken.folder / "artifacts/smoke/masks/val/inversion").glob("*-of-*")
    before = broken.tables() | broken.digests("artifacts/smoke")
    lock = (broken.folder / LOCK).read_bytes()
    table.write_text(re.sub(r"\d", "9", table.read_text()))
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-400] + bytes(255 - byte for byte in whole[-400:]))
    output, _ = broken.reproduce()
    for path in (table, shard):
        assert f"{path.relative_to(broken.folder)}: changed since it was computed" in output
    assert broken.tables() | broken.digests("artifacts/smoke") == before
    assert (broken.folder / LOCK).read_bytes() == lock


def fails_with(done, pattern):
    """Check that a command ended with one clear line."""
    lines = [line for line in said(done).splitlines() if line.startswith("error: ")]
    assert done.returncode != 0 and "Traceback" not in said(done)
    assert lines and re.search(pattern, lines[-1]), said(done)


def partial_files(clone):
    return [path for path in (clone.folder / "artifacts").rglob("*") if ".tmp" in path.name]


def test_wrong_key_or_value_in_the_settings(broken):
    before = broken.digests("artifacts", "results", besides=())
    broken.set("head", epoch=3)
    wrong_key = rf"{PARAMS}: head\.epoch: unknown key; did you mean 'epochs'"
    fails_with(broken.reproduce(check=False), wrong_key)
    fails_with(broken.call(*SNAKEMAKE, "--dry-run", check=False), wrong_key)
    broken.call("git", "checkout", PARAMS)
    broken.set("prompts", classes=[])
    fails_with(broken.reproduce(check=False), r"prompts\.classes: expected at least one item")
    assert broken.digests("artifacts", "results", besides=()) == before


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


def test_an_experiment_of_dvc_carries_its_setting(broken):
    broken.commit()
    before = broken.tables()
    setting = f"{PARAMS}:+evaluation.threshold=0.00001"
    done = broken.call("dvc", "exp", "run", "-n", "other", "-S", setting, DVC)
    assert "1e-05" in (broken.folder / PARAMS).read_text()  # as DVC writes it
    ran = {name.rpartition(":")[2] for name in re.findall(r"Running stage '(.+?)'", said(done))}
    assert ran == {"settings", "predictions-main"} | SCORED  # boxes are drawn at the threshold
    assert broken.tables() != before
    compared = json.loads(broken.call("dvc", "metrics", "diff", "--json", "HEAD", "other").stdout)
    metrics = compared["results/smoke/metrics.json"]
    assert metrics["val/inversion/iou"]["diff"] and metrics["val/centre-prior/acc"]["diff"]


def test_missing_model(broken):
    (broken.folder / "models" / "dseg-tiny").rename(broken.folder / "models" / "other")
    before = broken.digests("artifacts", "results", besides=())
    fails_with(broken.reproduce(check=False), r"model\.path: no pipeline in models/dseg-tiny")
    assert broken.digests("artifacts", "results", besides=()) == before


def test_truncated_shard(broken):
    shard = broken.folder / "artifacts/smoke/attention/val/attentioncut-noise"
    (shard,) = shard.glob("*-of-*")
    shard.write_bytes(shard.read_bytes()[:2000])
    # By Snakemake alone: `make reproduce` would take the whole shard from DVC's cache.
    scores = "artifacts/smoke/mask_methods/images.parquet"
    done = broken.call(*SNAKEMAKE, scores, check=False)
    fails_with(done, rf"{shard.name}: not a whole safetensors file")
    assert not (broken.folder / scores).exists()
    assert partial_files(broken) == []


def test_corrupt_image_and_mask_of_another_size(broken):
    """In a benchmark of the user's own, whose name the shell would run if it were not quoted."""
    own = 'data/it\'s $(touch PWN) "ü"'
    folder = broken.folder / own
    shutil.copytree(broken.folder / "artifacts/smoke/world/val", folder)
    image = sorted((folder / "images").iterdir())[1]
    mask = sorted((folder / "ground_truth_mask").iterdir())[2]
    whole, right = image.read_bytes(), mask.read_bytes()
    image.write_bytes(whole[:100])
    Image.new("L", (20, 30)).save(mask)
    broken.set("benchmarks", val={"layout": "saliency", "root": own, "images": 8})
    scores = "artifacts/smoke/mask_methods/images.parquet"
    recorded = "artifacts/smoke/attention/val/attentioncut-noise/00000-of-00001.safetensors"

    fails_with(
        broken.call(*SNAKEMAKE, scores, check=False),
        rf"{re.escape(own)}/images/{image.name}: not a",
    )
    assert not (broken.folder / recorded).exists() and partial_files(broken) == []

    image.write_bytes(whole)
    wrong_size = rf"{mask.name} is 20 x 30 but its image .+ is 64 x 64"
    fails_with(broken.call(*SNAKEMAKE, scores, check=False), wrong_size)
    assert not (broken.folder / scores).exists() and partial_files(broken) == []

    mask.write_bytes(right)
    broken.reproduce()
    assert broken.agree() and not broken.repro()
    assert not any(broken.folder.rglob("PWN"))
