"""Verdicts follow the stated rules, and the page says what they rest on."""

import json
import re
from dataclasses import replace

import pytest
from finished_run import settings_of
from made_up_scores import made_up_summary

from dseg.evaluation.statistics import holm
from dseg.reporting import comparison
from dseg.reporting.claims import Verdict, combine, judge, judge_claims, to_markdown, to_records
from dseg.reporting.estimates import summarise
from dseg.reporting.summary import Estimate, Kind

YES, NO, OPEN = Verdict.SUPPORTED, Verdict.NOT_SUPPORTED, Verdict.UNDECIDED


@pytest.fixture(scope="module")
def claims(settings, summary):
    return judge_claims(settings, summary)


@pytest.mark.parametrize(
    ("low", "value", "high", "p", "verdict"),
    [
        (0.01, 0.02, 0.03, 0.01, YES),
        (0.01, 0.02, 0.03, 0.05, OPEN),  # not significant after the correction
        (0.001, 0.008, 0.015, 0.01, OPEN),  # significant, but too small, or not
        (0.001, 0.004, 0.007, 0.01, NO),  # significant, and surely too small
        (-0.001, 0.02, 0.04, 0.01, OPEN),  # images say so, trainings do not
        (-0.02, 0.0, 0.02, 0.9, OPEN),
        (-0.004, 0.001, 0.006, 0.9, NO),  # surely no gain that matters
        (-0.03, -0.02, -0.01, 0.01, NO),
        (-0.05, -0.02, 0.02, 0.2, OPEN),
    ],
)
def test_the_rules(low, value, high, p, verdict):
    numbers = Estimate(Kind.METHOD, "a", "iou", value, "b", low=low, high=high)
    assert judge(numbers, p, least=0.01) is verdict


def test_what_was_not_run_is_undecided():
    assert judge(None, 1.0, least=0.01) is OPEN


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [([YES, YES], YES), ([YES, OPEN], OPEN), ([YES, OPEN, NO], NO), ([], OPEN), ([OPEN], OPEN)],
)
def test_a_claim_is_all_of_its_contrasts(verdicts, expected):
    assert combine(verdicts) is expected


def test_verdicts_on_made_up_scores(claims):
    """There the k-th method is ahead of the one before by 5 points, a mask method by 2."""
    verdicts = {claim.name: claim.verdict for claim in claims}
    assert verdicts["usable-segmenter"] is YES  # seventh method: about .65
    assert verdicts["usable-masks"] is YES  # fourth or fifth mask method: about .6
    assert verdicts["cross-attention-is-not-enough"] is YES
    assert verdicts["inversion-beats-noise"] is NO  # noise comes after inversion
    assert verdicts["more-data-helps"] is NO  # fewer pairs come after more
    assert verdicts["each-part-contributes"] is NO  # cuts without a part come after the whole


def test_numbers_are_those_of_the_tables_corrected_over_the_page(settings, scores, claims):
    findings = [finding for claim in claims for finding in claim.findings]
    p = [finding.numbers.p for finding in findings]
    assert [finding.p_adjusted for finding in findings] == holm(p)
    (found,) = [
        each
        for each in findings
        if each.contrast.label.startswith("inverted minus noised")
        and each.contrast.benchmark == "shift"
    ]
    iou = scores.of_images("iou")
    own, other = (iou[name, "shift", ("none", "multi")] for name in ("inversion", "noise"))
    assert found.numbers.value == pytest.approx((own - other).mean(), abs=1e-12)
    assert found.numbers.d_z == pytest.approx(
        (own - other).mean(0).mean() / (own - other).mean(0).std(ddof=1)
    )
    assert (found.numbers.own, found.numbers.other) == (own.mean(), other.mean())
    assert (found.numbers.images, found.numbers.trainings) == (20, 3)


def test_contrasts_are_on_benchmarks_where_nothing_was_chosen(settings, claims):
    contrasts = [finding.contrast for claim in claims for finding in claim.findings]
    assert {each.benchmark for each in contrasts} == {"test", "shift"}
    assert {each.table for each in contrasts} <= set(comparison.tables(settings))
    assert len({(each.label, each.benchmark) for each in contrasts}) == len(contrasts)
    heads = {"head minus RGB network", "head minus the same on clean latents"}
    assert heads <= {each.label for each in contrasts}


def test_a_method_that_was_not_run_leaves_its_claim_undecided(settings, scores):
    without = replace(scores, images=scores.images[scores.images["method"] != "noise"])
    claims = {claim.name: claim for claim in judge_claims(settings, summarise(settings, without))}
    claim = claims["inversion-beats-noise"]
    assert claim.verdict is OPEN and all(each.numbers is None for each in claim.findings)
    page = to_markdown(list(claims.values()), profile="p", tables="t", command="c")
    assert "| not run |" in page


def test_a_run_without_a_default_head_claims_nothing_of_heads(tmp_path):
    settings = settings_of(
        tmp_path,
        {"test": 8},
        60,
        variants={"rgb": {"head": {"input": "rgb"}}},
        mask_methods={"otsu": {"method": "otsu"}},
    )
    claims = judge_claims(settings, made_up_summary(settings))
    assert {claim.verdict for claim in claims} == {OPEN}
    assert all(claim.findings == () for claim in claims)


def test_the_page_shows_every_contrast(claims):
    page = to_markdown(claims, profile="study", tables="../tables", command="make it")
    assert "undecided at this scale" in page and "`make it`" in page
    for claim in claims:
        assert f"## {claim.text}" in page and f'<a id="{claim.name}">' in page
    tables = [part for part in re.split(r"\n## ", page)[1:]]
    for claim, text in zip(claims, tables, strict=True):
        rows = [line for line in text.splitlines() if line.startswith("| ")]
        assert len(rows) == 2 + len(claim.findings)
        assert {line.count("|") for line in rows} == {11}
        for finding, row in zip(claim.findings, rows[2:], strict=True):
            assert f"{100 * finding.numbers.value:+.1f} [" in row
            assert f"[{finding.contrast.table}](../tables/{finding.contrast.table}.md)" in row


def test_records_are_json(claims):
    records = json.loads(json.dumps(to_records(claims), allow_nan=False))
    assert len(records) == sum(len(claim.findings) for claim in claims)
    assert {record["verdict"] for record in records} <= {verdict.value for verdict in Verdict}
    for record in records:
        assert record["low"] <= record["difference"] <= record["high"]
