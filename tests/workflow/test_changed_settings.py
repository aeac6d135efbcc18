"""What a changed setting runs again, by Snakemake and by DVC, and what it leaves as it was."""

import pytest
from clones import CUT, PARAMS, PREDICTED, SCORED, SNAKEMAKE, at_once, fails_with

pytestmark = pytest.mark.slow
STAGES_PREDICTED = {"head-main", "predictions-main"} | SCORED
STAGES_CUT = {
    "masks-main-attentioncut",
    "masks-benchmarks-attentioncut-noise",
    "mask_methods",
}


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


def test_a_changed_setting_reruns_what_reads_it_and_what_is_behind(finished, by_dvc):
    for clone in (finished, by_dvc):
        clone.set("attentioncut", lambda_self=7.5)
    before = finished.digests("artifacts/smoke")
    (_, rules), stages = at_once(finished.reproduce, by_dvc.repro)
    assert rules == CUT | PREDICTED
    assert stages == {"settings"} | STAGES_CUT | STAGES_PREDICTED
    assert all(at_once(finished.agree, by_dvc.agree))
    assert by_dvc.digests("artifacts/smoke") == finished.digests("artifacts/smoke") != before


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
