"""What DVC keeps beside a run: its cache, a remote, hashes, experiments, metrics and plots."""

import json
import re
import shutil

import pytest
from clones import DVC, LOCK, PARAMS, SCORED, Clone, at_once, stages_run

pytestmark = pytest.mark.slow


def test_an_experiment_of_dvc_carries_its_setting(broken):
    broken.commit()
    before = broken.tables()
    setting = f"{PARAMS}:+evaluation.threshold=0.00001"
    done = broken.call("dvc", "exp", "run", "-n", "other", "-S", setting, DVC)
    assert "1e-05" in (broken.folder / PARAMS).read_text()  # as DVC writes it
    # Predictions too: boxes are drawn at the threshold.
    assert stages_run(done) == {"settings", "predictions-main"} | SCORED
    assert broken.tables() != before
    compared = json.loads(broken.call("dvc", "metrics", "diff", "--json", "HEAD", "other").stdout)
    metrics = compared["results/smoke/metrics.json"]
    assert metrics["val/inversion/iou"]["diff"] and metrics["val/centre-prior/acc"]["diff"]


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
    clone = Clone.of(finished.folder, tmp_path / "elsewhere")
    clone.call("dvc", "pull", "--quiet", DVC)
    assert clone.digests("artifacts/smoke") == finished.digests("artifacts/smoke")
    output, ran = clone.reproduce()
    assert not ran and "nothing to compute" in output
    assert "Running stage" not in clone.call("dvc", "repro", DVC).stdout
    assert clone.agree()


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


def test_metrics_and_plots_are_shown_by_dvc(by_dvc):
    shown = by_dvc.call("dvc", "metrics", "show", "results/smoke/metrics.json").stdout
    assert "masks/kept" in shown and "val/inversion/iou" in shown
    by_dvc.call("dvc", "plots", "show", "--out", "plots", "results/smoke/figures/masks.png")
    assert any((by_dvc.folder / "plots" / "static").glob("*masks.png"))
    shutil.rmtree(by_dvc.folder / "plots")
