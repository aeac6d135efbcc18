"""Snakemake and DVC come to the same, from nothing and after an edit, and find it finished then."""

import os

import pytest
from clones import CUT, PREDICTED, SCORED, at_once

pytestmark = pytest.mark.slow


def test_reproduce_ends_with_the_paths_of_tables_plots_and_report(first_runs, finished):
    first, _ = first_runs
    named = dict(line.split() for line in first.output.splitlines()[-3:])
    assert named.keys() == {"tables", "figures", "report"}
    assert any((finished.folder / named["tables"]).glob("*.csv"))
    assert any((finished.folder / named["figures"]).glob("*.png"))
    assert "<html" in (finished.folder / named["report"]).read_text()[:1000]
    assert PREDICTED | CUT | {"synthesis", "inversion", "recording"} <= first.ran
    assert finished.agree()


def test_a_second_run_has_nothing_to_do(finished):
    before = finished.digests("artifacts/smoke", besides=()) | finished.digests("results/smoke")
    output, ran = finished.reproduce()
    assert "nothing to be done" in output and not ran
    after = finished.digests("artifacts/smoke", besides=()) | finished.digests("results/smoke")
    assert after == before


def test_a_killed_run_goes_on_with_what_is_finished(first_run):
    assert "synthesis" in first_run.ran and first_run.went_on


def test_a_killed_run_and_an_undisturbed_one_agree_to_the_byte(finished, by_dvc):
    assert by_dvc.tables() == finished.tables() and len(by_dvc.tables()) > 10
    assert by_dvc.digests("artifacts/smoke") == finished.digests("artifacts/smoke")
    assert by_dvc.agree()


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
