"""Tables of the mask methods: on benchmark images by true masks, on synthetic ones by an oracle."""

import pandas as pd

from dseg.errors import DsegError
from dseg.reporting import comparison
from dseg.reporting.summary import SYNTHETIC, Estimate, Kind, Summary
from dseg.reporting.table import (
    INTERVAL,
    KEYS,
    TEST,
    Table,
    bounds,
    corrected,
    count,
    p_text,
    percent,
    plain,
    with_bounds,
)
from dseg.settings.masks import MASK_RECORDING
from dseg.settings.run import Settings

_COLUMNS = (
    *(*KEYS, *bounds("iou"), *bounds("minus_otsu"), plain("p", p_text), plain("p_holm", p_text)),
    *(*bounds("minus_full"), plain("p_full", p_text), plain("p_full_holm", p_text)),
)


def mask_table(settings: Settings, summary: Summary) -> Table:
    """Ways to make a mask from the same attention, tested against Otsu's threshold."""
    chosen, benchmarks = comparison.CHOSEN_ON, comparison.mask_benchmarks(settings)
    recording = comparison.methods(settings).get(MASK_RECORDING, "").partition(", ")[2]
    note = (
        "IoU in percent at the method's own threshold, mean over all images, none filtered out; "
        f"protocol {settings.evaluation.protocol}. {INTERVAL} p: {TEST}, corrected by Holm within "
        "a benchmark. Where a row names no other, all start from the same attention: "
        f"{recording}."
    )
    return _table(
        "mask-methods",
        "Ways to make a mask from the same attention",
        note
        + (f" Settings were chosen in the domain of {chosen}." if chosen in benchmarks else ""),
        "IoU [95 %]",
        [_frame(settings, summary, benchmark, Kind.MASKS) for benchmark in benchmarks],
    )


def synthetic_mask_table(settings: Settings, summary: Summary) -> Table:
    """The same on synthetic images, whose mask an oracle segmenter says.

    Raises:
        DsegError: The summary has no scores of synthetic images.
    """
    oracle, own = _instrument(summary, "oracle", "iou"), "classifier"
    found = _instrument(summary, "oracle", "found", SYNTHETIC)
    dropped = _instrument(summary, "oracle", "dropped", SYNTHETIC)
    named = _instrument(summary, own, "named", SYNTHETIC)
    full = _instrument(summary, comparison.FULL_METHOD, "iou of named", SYNTHETIC)
    on_named = f"; on those alone AttentionCut has {100 * full.value:.1f}" if full.images else ""
    note = (
        "IoU in percent with the masks of the oracle segmenter, a network trained on renders with "
        f"true masks, whose own IoU is {100 * oracle.value:.1f} on {oracle.images} renders of val. "
        f"Of the first {found.images} synthetic images, those {found.value:.0f} on which it finds "
        "an object are scored, with the attention of their synthesis and none filtered out; the "
        f"filter would drop the oracle's mask on {dropped.value:.0f} of them. A classifier trained "
        f"on renders names the prompted kind on {100 * named.value:.1f} % of the {named.images} "
        f"({100 * _instrument(summary, own, 'named').value:.1f} % on val){on_named}. Protocol "
        f"{settings.evaluation.protocol}. {INTERVAL} p: {TEST}, corrected by Holm."
    )
    return _table(
        comparison.SYNTHETIC_MASKS,
        "Ways to make a mask of a synthetic image, by an oracle segmenter",
        note,
        "IoU with the oracle [95 %]",
        [_frame(settings, summary, SYNTHETIC, Kind.SYNTHETIC)],
    )


def _instrument(summary: Summary, method: str, metric: str, benchmark: str = "") -> Estimate:
    found = summary.find(method, benchmark, metric, kind=Kind.INSTRUMENT)
    if found is None:
        raise DsegError(
            "instruments.scored: no scores of mask methods on synthetic images were given; run the "
            "stages synthetic_masks and summary, or set it to null"
        )
    return found


def _frame(settings: Settings, summary: Summary, benchmark: str, kind: Kind) -> pd.DataFrame:
    """A row for every mask method that was run on a benchmark, in the order of the table."""
    references = {
        name: {"minus_otsu": group.reference, "minus_full": group.full}
        for group in comparison.mask_groups(settings)
        for name in group.names
    }
    records = []
    for name, label in comparison.mask_methods(settings).items():
        iou = summary.find(name, benchmark, kind=kind)
        if iou is None:
            continue
        record = {
            "method": name,
            "label": label,
            "benchmark": benchmark,
            "images": iou.images,
            "protocol": iou.protocol,
            **percent("iou", iou.interval),
        }
        for column, p in (("minus_otsu", "p"), ("minus_full", "p_full")):
            test = summary.find(name, benchmark, reference=references[name][column], kind=kind)
            if test is not None:
                record |= {**percent(column, test.interval), p: test.p}
        records.append(record)
    frame = pd.DataFrame(records, columns=[name for each in _COLUMNS for name in each.names])
    return frame.assign(p_holm=corrected(frame), p_full_holm=corrected(frame, "p_full"))


def _table(name: str, title: str, note: str, score: str, frames: list[pd.DataFrame]) -> Table:
    return Table(
        name=name,
        title=title,
        note=note,
        frame=pd.concat([frame for frame in frames if len(frame)] or frames[:1], ignore_index=True),
        columns=_COLUMNS,
        lead=(plain("label", heading="method"), plain("benchmark"), plain("images", count)),
        shown=(
            with_bounds(score, "iou"),
            with_bounds("minus Otsu [95 %]", "minus_otsu", sign="+"),
            plain("p_holm", p_text, "p"),
            with_bounds("minus AttentionCut [95 %]", "minus_full", sign="+"),
            plain("p_full_holm", p_text, "p"),
        ),
    )
