"""Claims of the paper's abstract against the scores of a run: a verdict for each, by stated rules.

A claim is made of contrasts: the difference in mean IoU between two methods, or between a method
and a level. A contrast has a least size that matters, stated beforehand; its verdict is

    supported       the estimate is at least that size, and significantly above 0;
    not supported   significantly below 0, or the interval excludes the least size;
    undecided       anything else, or one side of it was not run.

Significant means p < .05 after Holm's correction over all contrasts of all claims, and an interval
over images and trainings that excludes 0 (`dseg.statistics`). A claim is supported if all of its
contrasts are, not supported if any is not, and undecided otherwise. These rules are our choice; the
claims and their contrasts are in `dseg.contrasts`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from dseg.contrasts import LEAST, LEVEL, Contrast, contrasts_of
from dseg.scores import Scores
from dseg.settings import Settings
from dseg.statistics import Comparison, compare, holm

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
        comparison: The numbers, or None.
        p_adjusted: Holm's adjusted p value, over all contrasts of a page; 1 without numbers.
        means: Mean IoU of both sides, or None.
        verdict: By the rules of the module.
    """

    contrast: Contrast
    comparison: Comparison | None
    p_adjusted: float
    means: tuple[float, float] | None
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


def judge_claims(settings: Settings, scores: Scores) -> list[Claim]:
    """Every claim with its verdict.

    Args:
        settings: As `dseg.tables.build_tables`.
        scores: Scores of the run.
    """
    claims = contrasts_of(settings, scores)
    planned = [contrast for _, contrasts in claims.values() for contrast in contrasts]
    sides = [_values(scores, contrast) for contrast in planned]
    compared = [
        compare(values, base, seed=settings.seed) if values.size and base.size else None
        for values, base in sides
    ]
    adjusted = iter(holm([each.p_value for each in compared if each is not None]))
    findings = []
    for contrast, numbers, (values, base) in zip(planned, compared, sides, strict=True):
        p = next(adjusted) if numbers is not None else 1.0
        means = (float(values.mean()), float(base.mean())) if numbers is not None else None
        findings.append(Finding(contrast, numbers, p, means, judge(numbers, p, contrast.least)))
    judged, left = [], iter(findings)
    for name, (text, contrasts) in claims.items():
        own = tuple(next(left) for _ in contrasts)
        judged.append(Claim(name, text, own, combine([each.verdict for each in own])))
    return judged


def judge(numbers: Comparison | None, p_adjusted: float, least: float) -> Verdict:
    """The verdict on one contrast, by the rules of the module.

    Args:
        numbers: The difference, or None if it was not measured.
        p_adjusted: Its p value, corrected for the number of tests.
        least: The smallest difference that supports the claim.
    """
    if numbers is None:
        return Verdict.UNDECIDED
    difference, significant = numbers.difference, p_adjusted < SIGNIFICANT
    if significant and difference.low > 0 and difference.value >= least:
        return Verdict.SUPPORTED
    if (significant and difference.high < 0) or difference.high < least:
        return Verdict.NOT_SUPPORTED
    return Verdict.UNDECIDED


def combine(verdicts: Sequence[Verdict]) -> Verdict:
    """The verdict on a claim that rests on several contrasts."""
    if Verdict.NOT_SUPPORTED in verdicts:
        return Verdict.NOT_SUPPORTED
    if verdicts and set(verdicts) == {Verdict.SUPPORTED}:
        return Verdict.SUPPORTED
    return Verdict.UNDECIDED


def _values(scores: Scores, contrast: Contrast) -> tuple[np.ndarray, np.ndarray]:
    """Both sides of a contrast, (S, N) or (1, N) each; N is 0 for what was not run."""
    own, other, benchmark = contrast.method, contrast.reference, contrast.benchmark
    if contrast.table == "mask-methods":
        values = scores.of_masks(own, benchmark)[None]
        base = values if other is None else scores.of_masks(other, benchmark)[None]
    elif other is None:
        values = base = scores.of_images(own, benchmark, "iou")
    else:
        values, base = scores.paired(own, other, benchmark, "iou")
    return values, np.full_like(values[:1], LEVEL) if other is None else base


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
            contrast, numbers = finding.contrast, finding.comparison
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
                difference = numbers.difference
                record |= {
                    "difference": round(100 * difference.value, 2),
                    "low": round(100 * difference.low, 2),
                    "high": round(100 * difference.high, 2),
                    "p_holm": finding.p_adjusted,
                    "d_z": round(numbers.effect, 3) if np.isfinite(numbers.effect) else None,
                    "detectable": round(100 * numbers.detectable, 2),
                    "images": numbers.images,
                    "trainings": numbers.trainings,
                }
            records.append(record)
    return records


def _row(finding: Finding, tables: str) -> str:
    contrast, numbers = finding.contrast, finding.comparison
    link = f"[{contrast.table}]({tables}/{contrast.table}.md)"
    if numbers is None or finding.means is None:
        shown = ["not run", "", "", "", "", ""]
    else:
        own, other = (f"{100 * mean:.1f}" for mean in finding.means)
        value, low, high = (
            f"{100 * number:+.1f}"
            for number in (
                numbers.difference.value,
                numbers.difference.low,
                numbers.difference.high,
            )
        )
        p = finding.p_adjusted
        shown = [
            f"{own} - {other}",
            f"{value} [{low}, {high}]",
            f"{p:.3f}" if p >= 0.001 else "< 0.001",
            f"{numbers.effect:+.2f}",
            f"{100 * numbers.detectable:.1f}",
            "" if contrast.table == "mask-methods" else str(numbers.trainings),
        ]
    cells = [contrast.label, contrast.benchmark, *shown, finding.verdict.value, link]
    return f"| {' | '.join(cells)} |"


def _said(verdict: Verdict) -> str:
    return "undecided at this scale" if verdict is Verdict.UNDECIDED else verdict.value
