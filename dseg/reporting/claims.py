"""Claims of the paper's abstract against the scores of a run: a verdict for each, by stated rules.

A claim is made of contrasts: the difference in mean IoU between two methods, or between a method
and a level. A contrast has a least size that matters, stated beforehand; its verdict is

    supported       the estimate is at least that size, and significantly above 0;
    not supported   significantly below 0, or the interval excludes the least size;
    undecided       anything else, or one side of it was not run.

Significant means p < .05 after Holm's correction over all contrasts of all claims, and an interval
over images and trainings that excludes 0 (`evaluation.statistics`). A claim is supported if all
of its contrasts are, not supported if any is not, and undecided otherwise. These rules are our
choice; the claims and their contrasts are in `contrasts`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import isfinite

from dseg.evaluation.statistics import holm
from dseg.reporting.contrasts import AT_LEVEL, LEAST, LEVEL, MASK_TABLE, Contrast, contrasts_of
from dseg.reporting.summary import Estimate, Kind, Summary
from dseg.settings.run import Settings

SIGNIFICANT = 0.05


class Verdict(StrEnum):
    """What a run says about a claim."""

    SUPPORTED = "supported"
    NOT_SUPPORTED = "not supported"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Finding:
    """A contrast with its numbers; without them if a side of it was not run.

    Attributes:
        contrast: What was compared.
        numbers: The difference and the means of both sides, or None.
        p_adjusted: Holm's adjusted p value, over all contrasts of a page; 1 without numbers.
        verdict: By the rules of the module.
    """

    contrast: Contrast
    numbers: Estimate | None
    p_adjusted: float
    verdict: Verdict


@dataclass(frozen=True)
class Claim:
    """A claim and what was found.

    Attributes:
        name: Short name.
        text: The claim, one sentence.
        findings: The contrasts behind it, with their numbers.
        verdict: By the rules of the module.
    """

    name: str
    text: str
    findings: tuple[Finding, ...]
    verdict: Verdict


def judge_claims(settings: Settings, summary: Summary) -> list[Claim]:
    """Every claim with its verdict.

    Args:
        settings: As `dseg.reporting.tables.assembly.build_tables`.
        summary: The numbers of the run.
    """
    pairs = {name: summary.pairs(name) for name in settings.variants}
    claims = contrasts_of(settings, pairs)
    planned = [contrast for _, contrasts in claims.values() for contrast in contrasts]
    found = [
        summary.find(
            contrast.method,
            contrast.benchmark,
            reference=contrast.reference or AT_LEVEL,
            kind=Kind.MASKS if contrast.table == MASK_TABLE else Kind.METHOD,
        )
        for contrast in planned
    ]
    adjusted = iter(holm([each.p for each in found if each is not None]))
    findings = []
    for contrast, numbers in zip(planned, found, strict=True):
        p = next(adjusted) if numbers is not None else 1.0
        findings.append(Finding(contrast, numbers, p, judge(numbers, p, contrast.least)))
    judged, left = [], iter(findings)
    for name, (text, contrasts) in claims.items():
        own = tuple(next(left) for _ in contrasts)
        judged.append(Claim(name, text, own, combine([each.verdict for each in own])))
    return judged


def judge(numbers: Estimate | None, p_adjusted: float, least: float) -> Verdict:
    """The verdict on one contrast, by the rules of the module.

    Args:
        numbers: The difference, or None if it was not measured.
        p_adjusted: Its p value, corrected for the number of tests.
        least: The smallest difference that supports the claim.
    """
    if numbers is None:
        return Verdict.UNDECIDED
    significant = p_adjusted < SIGNIFICANT
    if significant and numbers.low > 0 and numbers.value >= least:
        return Verdict.SUPPORTED
    if (significant and numbers.high < 0) or numbers.high < least:
        return Verdict.NOT_SUPPORTED
    return Verdict.UNDECIDED


def combine(verdicts: Sequence[Verdict]) -> Verdict:
    """The verdict on a claim that rests on several contrasts."""
    if Verdict.NOT_SUPPORTED in verdicts:
        return Verdict.NOT_SUPPORTED
    if verdicts and set(verdicts) == {Verdict.SUPPORTED}:
        return Verdict.SUPPORTED
    return Verdict.UNDECIDED


def to_markdown(claims: Sequence[Claim], *, profile: str, tables: str, command: str) -> str:
    """The page of claims.

    Args:
        claims: From `judge_claims`.
        profile: Name of the run.
        tables: Where its tables lie, as seen from the page.
        command: What makes the run.
    """
    lines = [
        "# What the paper claims, and what this run shows",
        "",
        "<!-- written by the workflow; not to be edited -->",
        "",
        f"Profile `{profile}`, made by `{command}`. Differences are in mean IoU, in points "
        "(percent), with 95 % intervals over images and trainings.",
        "",
        f"A contrast *supports* its claim if the difference is at least {100 * LEAST:g} point and "
        f"significantly above 0 (p < {SIGNIFICANT:g} after Holm's correction over this page, and "
        "an interval above 0). It speaks *against* the claim if the difference is significantly "
        f"below 0, or its interval excludes {100 * LEAST:g} point. A claim is supported if all of "
        "its contrasts are, not supported if one is not, and otherwise undecided at this scale. "
        f"A mask is called usable from IoU {LEVEL:g}. Wording of the claims, rules and contrasts "
        "are ours.",
        "",
        "| claim | verdict |",
        "| --- | --- |",
        *(f"| [{claim.text}](#{claim.name}) | {_said(claim.verdict)} |" for claim in claims),
        "",
    ]
    for claim in claims:
        lines += [f'<a id="{claim.name}"></a>', "", f"## {claim.text}", ""]
        lines += [f"**{_said(claim.verdict).capitalize()}.**", ""]
        if not claim.findings:
            lines += ["This run has nothing to compare for it.", ""]
            continue
        lines += [
            "| contrast | benchmark | IoU | difference [95 %] | p (Holm) | d | detectable "
            "| trainings | verdict | table |",
            "| --- | --- | --: | --: | --: | --: | --: | --: | --- | --- |",
            *(_row(finding, tables) for finding in claim.findings),
            "",
        ]
    lines += [
        "d: Cohen's d_z over images. Detectable: the true difference that this comparison would "
        "find four times out of five. Trainings: how many of a head; empty where nothing is "
        "trained. With one, nothing here covers the spread of trainings.",
        "",
    ]
    return "\n".join(lines)


def to_records(claims: Sequence[Claim]) -> list[dict[str, str | float | int | None]]:
    """Every contrast as a flat record; differences in points."""
    records: list[dict[str, str | float | int | None]] = []
    for claim in claims:
        for finding in claim.findings:
            contrast, numbers = finding.contrast, finding.numbers
            record: dict[str, str | float | int | None] = {
                "claim": claim.name,
                "claim_verdict": claim.verdict.value,
                "contrast": contrast.label,
                "table": contrast.table,
                "benchmark": contrast.benchmark,
                "method": contrast.method,
                "reference": contrast.reference,
                "verdict": finding.verdict.value,
            }
            if numbers is not None:
                record |= {
                    "difference": round(100 * numbers.value, 2),
                    "low": round(100 * numbers.low, 2),
                    "high": round(100 * numbers.high, 2),
                    "p_holm": finding.p_adjusted,
                    "d_z": round(numbers.d_z, 3) if isfinite(numbers.d_z) else None,
                    "detectable": round(100 * numbers.detectable, 2),
                    "images": numbers.images,
                    "trainings": numbers.trainings,
                }
            records.append(record)
    return records


def _row(finding: Finding, tables: str) -> str:
    contrast, numbers = finding.contrast, finding.numbers
    link = f"[{contrast.table}]({tables}/{contrast.table}.md)"
    if numbers is None:
        shown = ["not run", "", "", "", "", ""]
    else:
        value, low, high = (
            f"{100 * number:+.1f}" for number in (numbers.value, numbers.low, numbers.high)
        )
        p = finding.p_adjusted
        shown = [
            f"{100 * numbers.own:.1f} - {100 * numbers.other:.1f}",
            f"{value} [{low}, {high}]",
            f"{p:.3f}" if p >= 0.001 else "< 0.001",
            f"{numbers.d_z:+.2f}",
            f"{100 * numbers.detectable:.1f}",
            "" if contrast.table == MASK_TABLE else str(numbers.trainings),
        ]
    cells = [contrast.label, contrast.benchmark, *shown, finding.verdict.value, link]
    return f"| {' | '.join(cells)} |"


def _said(verdict: Verdict) -> str:
    return "undecided at this scale" if verdict is Verdict.UNDECIDED else verdict.value
