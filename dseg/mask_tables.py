"""Tables of the mask methods: on benchmark images by true masks, on synthetic ones by an oracle."""

from collections.abc import Mapping, Sequence

import numpy as np

from dseg import comparison
from dseg.scores import Scores
from dseg.settings import Settings
from dseg.statistics import Comparison, mean_interval
from dseg.table import Table
from dseg.table_cells import INTERVAL, KEYS, TEST, adjust, against, exact, p_text, show

_HEADS = ("minus Otsu [95 %]", "p", "minus AttentionCut [95 %]", "p")
_COLUMNS = (
    *(*KEYS, "iou", "iou_low", "iou_high"),
    *("minus_otsu", "minus_otsu_low", "minus_otsu_high", "p", "p_holm"),
    *("minus_full", "minus_full_low", "minus_full_high", "p_full", "p_full_holm"),
)


def mask_table(settings: Settings, scores: Scores) -> Table:
    """Ways to make a mask from the same attention, tested against Otsu's threshold."""
    chosen, protocol = comparison.CHOSEN_ON, settings.evaluation.protocol
    benchmarks = comparison.mask_benchmarks(settings)
    recording = comparison.methods(settings).get(comparison.MASK_RECORDING, "").partition(", ")[2]
    rows = [
        row
        for benchmark in benchmarks
        for row in _rows(
            settings,
            {name: scores.of_masks(name, benchmark) for name in comparison.mask_methods(settings)},
            benchmark,
        )
    ]
    note = (
        "IoU in percent at the method's own threshold, mean over all images, none filtered out; "
        f"protocol {protocol}. {INTERVAL} p: {TEST}, corrected by Holm within a benchmark. Where "
        f"a row names no other, all start from the same attention: {recording}."
    )
    return _table(
        "mask-methods",
        "Ways to make a mask from the same attention",
        note
        + (f" Settings were chosen in the domain of {chosen}." if chosen in benchmarks else ""),
        "IoU [95 %]",
        rows,
    )


def synthetic_mask_table(settings: Settings, scores: Scores) -> Table:
    """The same on synthetic images, whose mask an oracle segmenter says.

    Raises:
        ValueError: The scores have none of synthetic images.
    """
    judged = scores.synthetic
    if judged is None:
        raise ValueError("no scores of mask methods on synthetic images")
    table = judged.masks.sort_values("id")
    of_method = {name: rows["iou"].to_numpy() for name, rows in table.groupby("method")}
    ordered = {name: of_method.get(name, np.empty(0)) for name in comparison.mask_methods(settings)}
    per_image = table.drop_duplicates("id")
    count = len(per_image)
    lost = count - int(per_image["found"].sum())
    note = (
        "IoU in percent with the masks of the oracle segmenter, a network trained on renders with "
        f"true masks, whose own IoU is {100 * judged.oracle_iou:.1f} on {judged.oracle_images} "
        f"renders of val. Mean over the first {count} synthetic images, none filtered out, with "
        "the attention of their synthesis. A classifier trained on renders names the prompted "
        f"kind on {100 * per_image['named'].mean():.1f} % of them "
        f"({100 * judged.classifier:.1f} % on val). The filter would drop the oracle's mask on "
        f"{lost}. Protocol {settings.evaluation.protocol}. {INTERVAL} p: {TEST}, corrected by Holm."
    )
    return _table(
        comparison.SYNTHETIC_MASKS,
        "Ways to make a mask of a synthetic image, by an oracle segmenter",
        note,
        "IoU with the oracle [95 %]",
        _rows(settings, ordered, "synthetic"),
    )


_Row = tuple[tuple[str, ...], tuple[str, ...]]  # what is shown, what is written in full


def _rows(settings: Settings, scores: Mapping[str, np.ndarray], benchmark: str) -> Sequence[_Row]:
    """A row for every mask method that was run, in the order of `scores`.

    Args:
        settings: As in `build_tables`.
        scores: IoU of each method on every image, (n,); n is 0 if it was not run.
        benchmark: What to call the images.
    """
    labels, protocol = comparison.mask_methods(settings), settings.evaluation.protocol
    run = {name: values for name, values in scores.items() if len(values)}
    otsu: dict[str, Comparison] = {}
    full: dict[str, Comparison] = {}
    for group in comparison.mask_groups(settings):
        own = {name: run[name] for name in group.names if name in run}
        otsu |= against(own, group.reference, settings.seed)
        full |= against(own, group.full, settings.seed)
    adjusted, adjusted_full = adjust(otsu), adjust(full)
    rows = []
    for name, values in run.items():
        interval = mean_interval(values, seed=settings.seed)
        gain = [otsu[name].difference] if name in otsu else []
        loss = [full[name].difference] if name in full else []
        p = [p_text(otsu[name].p_value), p_text(adjusted[name])] if gain else ["", ""]
        q = [p_text(full[name].p_value), p_text(adjusted_full[name])] if loss else ["", ""]
        key = (name, labels[name], benchmark, str(len(values)), protocol)
        record = (*key, *exact(interval), *exact(*gain), *p, *exact(*loss), *q)
        shown = (show(interval), show(*gain, signed=True), p[1], show(*loss, signed=True), q[1])
        rows.append(((labels[name], benchmark, str(len(values)), *shown), record))
    return rows


def _table(name: str, title: str, note: str, score: str, rows: Sequence[_Row]) -> Table:
    heads = ("method", "benchmark", "images", score, *_HEADS)
    return Table(
        name=name,
        title=title,
        note=note,
        headings=tuple(("", head) for head in heads),
        cells=tuple(shown for shown, _ in rows),
        columns=_COLUMNS,
        records=tuple(record for _, record in rows),
    )
