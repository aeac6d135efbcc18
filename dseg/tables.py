"""The result tables, from scores per image: every printed number comes from here.

Scores are in percent, means over images and over trainings. Intervals and tests are over both
(`dseg.statistics`): they say how far a number would move with other images of the same kind and
with other trainings of the same heads.
"""

from collections.abc import Sequence

import numpy as np

from dseg import ablations, comparison
from dseg.errors import DsegError
from dseg.mask_tables import mask_table, synthetic_mask_table
from dseg.round_trips import round_trip_table
from dseg.scores import Scores
from dseg.settings import Settings
from dseg.statistics import Comparison, compare, mean_interval, share_interval
from dseg.table import NOT_RUN, SIDE_BY_SIDE, Table, stack_groups
from dseg.table_cells import INTERVAL, KEYS, TEST, adjust, exact, p_text, show

ORACLE = "Noun told: AttentionCut's prompt names the image's class, which no other method is told."
HEADINGS = {"acc": "Acc", "iou": "IoU [95 %]", "max_f": "maxF"}


def build_tables(settings: Settings, scores: Scores) -> list[Table]:
    """All tables, in the order of `comparison.tables`.

    Args:
        settings: Sections seed, prompts.count, benchmarks, recording, recordings, inversion,
            inversions, features, head, variants, attentioncut, mask_methods, evaluation.
        scores: The scores; where some are absent, the row or the table says so.

    Raises:
        DsegError: Scores contradict each other.
    """
    return [
        saliency_table(settings, scores),
        localisation_table(settings, scores),
        mask_table(settings, scores),
        *(
            ablation_table(settings, scores, name)
            for name in comparison.tables(settings)
            if name in ablations.ABLATIONS
        ),
        *(
            round_trip_table(settings, scores.round_trips)
            for name in comparison.tables(settings)
            if name == comparison.ROUND_TRIP and scores.round_trips is not None
        ),
        *(
            synthetic_mask_table(settings, scores)
            for name in comparison.tables(settings)
            if name == comparison.SYNTHETIC_MASKS
        ),
    ]


def saliency_table(settings: Settings, scores: Scores) -> Table:
    """The main table: segmentation of the salient object."""
    labels = comparison.methods(settings)
    rows = [(labels[name], name) for name in comparison.main_methods(settings)]
    return _segmentation(
        settings,
        scores,
        rows,
        name="saliency",
        title="Saliency segmentation",
        metrics=("acc", "iou", "max_f"),
        note=ORACLE,
    )


def ablation_table(settings: Settings, scores: Scores, name: str) -> Table:
    """One head with one part of it changed; the reference is the default variant."""
    names = ablations.ablation(settings, name)
    rows = [
        (str(scores.pairs(settings.variant(each)[1])), each)
        if name == "pairs"
        else (ablations.ablation_label(settings, name, each), each)
        for each in names
    ]
    title, first, note = _ABLATIONS[name]
    if name == "pairs":
        share = 100 * settings.head.validation_fraction
        note = (
            f"The mask filter kept {scores.kept.sum()} of {len(scores.kept)} synthetic pairs; of "
            f"those a head is given, {share:g} % choose the epoch."
        )
    return _segmentation(
        settings,
        scores,
        rows,
        name=name,
        title=title,
        metrics=("iou",),
        reference=ablations.default_variant(settings),
        against=f"{scores.pairs(settings.head)} pairs" if name == "pairs" else "first row",
        first=first,
        note=note,
    )


def localisation_table(settings: Settings, scores: Scores) -> Table:
    """CorLoc on the benchmarks with boxes."""
    labels = comparison.methods(settings)
    benchmarks = comparison.box_benchmarks(settings)
    rule, threshold = settings.evaluation.box, settings.evaluation.threshold
    cells, records = [], []
    for name in comparison.main_methods(settings):
        row = []
        for benchmark in benchmarks:
            hits = scores.of_images(name, benchmark, "hit")
            if hits.size == 0:
                row.append(NOT_RUN)
                continue
            share = share_interval(hits)
            row.append(show(share))
            key = (name, labels[name], benchmark, str(hits.shape[1]), f"box-{rule}")
            records.append((*key, _trainings(settings, name, hits), *exact(share)))
        if set(row) - {NOT_RUN}:
            cells.append((labels[name], *row))
    encloses = {"largest": "the largest component of", "all": "all of"}[rule]
    heads = [(_benchmark(scores, name, "hit"), "CorLoc [95 %]") for name in benchmarks]
    return Table(
        name="localisation",
        title="Single-object localisation",
        note="CorLoc: percent of images whose one box has IoU >= 0.5 with any true box. Box rule "
        f"{rule}: it encloses {encloses} the mask above {threshold:g}. In brackets: 95 % interval, "
        f"over images (Wilson) and trainings (Student). {ORACLE}",
        headings=(("", "method"), *heads),
        cells=tuple(cells),
        columns=(*KEYS, "seeds", "corloc", "corloc_low", "corloc_high"),
        records=tuple(records),
    )


def metrics(settings: Settings, scores: Scores) -> dict[str, float]:
    """All scores under the chosen protocol by flat name, in percent: for `dvc metrics`."""
    evaluation, table = settings.evaluation, scores.table
    boxes = (table["protocol"] == f"box-{evaluation.box}") & (table["metric"] == "corloc")
    chosen = (table["protocol"] == evaluation.protocol) & table["metric"].isin(HEADINGS)
    table = table[chosen | boxes]
    names = table["benchmark"] + "/" + table["method"] + "/" + table["metric"]
    flat = dict(table["value"].groupby(names).mean())
    masks = scores.masks
    means = masks["iou"].groupby("masks/" + masks["benchmark"] + "/" + masks["method"] + "/iou")
    flat |= dict(means.mean())
    if scores.synthetic is not None:
        judged = scores.synthetic.masks
        names = "masks/synthetic/" + judged["method"] + "/iou"
        flat |= dict(judged["iou"].groupby(names).mean().dropna())
    percent = {str(name): round(100 * float(value), 2) for name, value in flat.items()}
    return dict(sorted(percent.items())) | {"masks/kept": int(scores.kept.sum())}


# title, heading of the first column, note
_ABLATIONS = {
    "features": (
        "Features of inverted, noised and clean latents, with the same head",
        "latents",
        "t: timestep of the latents, as a fraction of the training timesteps.",
    ),
    "inversions": (
        "Ways to invert, with the same head",
        "inversion",
        "Steps over all training timesteps. A prompt with {noun} names the class of each image, "
        "which no other row is told.",
    ),
    "blocks": ("What is read of the U-Net", "features", ""),
    "heads": ("Heads and losses, on the same features", "head", ""),
    "masks": (
        "Masks to learn from",
        "masks",
        "On the same synthetic images, but for true masks: those are of as many renders. Filtered: "
        "without the pairs that the mask filter drops.",
    ),
    "syntheses": ("Images to learn from, with their masks by AttentionCut", "images", ""),
    "pairs": ("Number of synthetic training pairs", "pairs", ""),
}

_DIFFERENCES = (
    *("minus_reference", "minus_reference_low", "minus_reference_high"),
    *("p", "p_holm", "d_z", "rank_biserial", "detectable"),
)


def _segmentation(
    settings: Settings,
    scores: Scores,
    rows: Sequence[tuple[str, str]],
    *,
    name: str,
    title: str,
    metrics: Sequence[str],
    reference: str | None = None,
    against: str = "",
    first: str = "method",
    note: str = "",
) -> Table:
    """A table of segmentation scores on the held-out benchmarks.

    A benchmark is a group of columns, or of rows where there are more than fit side by side.

    Args:
        settings: As in `build_tables`.
        scores: The scores.
        rows: Label and key of every method.
        name: Of the table.
        title: Of the table.
        metrics: What is shown, among `HEADINGS`.
        reference: A method to give every other one's paired difference in IoU to.
        against: What the heading of the differences calls it.
        first: Heading of the first column.
        note: What to add to the note.
    """
    protocol, benchmarks = settings.evaluation.protocol, comparison.held_out(settings)
    heads = [HEADINGS[metric] for metric in metrics]
    if reference is not None:
        heads += [f"minus {against} [95 %]", "p", "d"]
    tests = _tests(settings, scores, [method for _, method in rows], reference)
    adjusted = adjust(tests)
    cells, records = [], []
    for label, method in rows:
        shown: list[str] = []
        trainings = ""
        for benchmark in benchmarks:
            iou = scores.of_images(method, benchmark, "iou")
            if iou.size == 0:
                shown += [NOT_RUN] * len(heads)
                continue
            trainings = _trainings(settings, method, iou)
            interval = mean_interval(iou, seed=settings.seed)
            values = {
                metric: 100 * scores.score(method, benchmark, protocol, metric)
                for metric in HEADINGS
            }
            shown += [
                show(interval) if metric == "iou" else f"{values[metric]:.1f}" for metric in metrics
            ]
            key = (method, label, benchmark, str(iou.shape[1]), protocol, trainings)
            record = [*key, f"{values['acc']:.2f}", *exact(interval), f"{values['max_f']:.2f}"]
            test = tests.get((method, benchmark))
            if test is not None:
                p = adjusted[method, benchmark]
                shown += [show(test.difference, signed=True), p_text(p), f"{test.effect:+.2f}"]
                record += [*exact(test.difference), p_text(test.p_value), p_text(p)]
                record += [f"{test.effect:.3f}", f"{test.rank_effect:.3f}"]
                record.append(f"{100 * test.detectable:.2f}")
            elif reference is not None:
                shown += [""] * 3
                record += [""] * len(_DIFFERENCES)
            records.append(tuple(record))
        if set(shown) - {NOT_RUN}:
            cells.append((label, trainings, *shown))
    groups = [_benchmark(scores, benchmark, "iou") for benchmark in benchmarks]
    chosen = comparison.CHOSEN_ON
    warning = f"Settings were chosen in the domain of {chosen}. " if chosen in benchmarks else ""
    means = f"{'Acc and IoU' if 'acc' in metrics else 'IoU'} at {settings.evaluation.threshold:g}"
    defines = ", which also defines maxF" if "max_f" in metrics else ""
    tested = (
        f"p: {TEST} and Student's error of the trainings, corrected by Holm within the table; d: "
        "Cohen's d_z, the mean difference by its deviation over images. "
    )
    table = Table(
        name=name,
        title=title,
        note=f"Percent; {means}, mean over images and trainings; {_protocol(settings)}{defines}. "
        f"{INTERVAL} {tested if reference is not None else ''}{warning}{note}".rstrip(),
        headings=(
            ("", first),
            ("", "trainings"),
            *((group, head) for group in groups for head in heads),
        ),
        cells=tuple(cells),
        columns=(
            *(*KEYS, "seeds", "acc", "iou", "iou_low", "iou_high", "max_f"),
            *(_DIFFERENCES if reference is not None else ()),
        ),
        records=tuple(records),
    )
    return stack_groups(table, "benchmark") if len(groups) > SIDE_BY_SIDE else table


def _tests(
    settings: Settings, scores: Scores, methods: Sequence[str], reference: str | None
) -> dict[tuple[str, str], Comparison]:
    """The comparison of every method with the reference in IoU, by method and benchmark."""
    if reference is None:
        return {}
    pairs = {
        (method, benchmark): scores.paired(method, reference, benchmark, "iou")
        for method in methods
        for benchmark in comparison.held_out(settings)
        if method != reference
    }
    return {
        key: compare(values, base, seed=settings.seed)
        for key, (values, base) in pairs.items()
        if values.size and base.size
    }


def _trainings(settings: Settings, method: str, values: np.ndarray) -> str:
    """Number of trainings behind scores (S, N); empty for what is not trained."""
    return str(len(values)) if method in settings.variants else ""


def _protocol(settings: Settings) -> str:
    """The protocol in words, with the mode where it is not the usual one."""
    mode = settings.evaluation.mode
    named = f"protocol {settings.evaluation.protocol}"
    return named if mode == "multi" else f"{named}, mode {mode}"


def _benchmark(scores: Scores, benchmark: str, metric: str) -> str:
    """Name of a benchmark with its number of images, which is that of every cell below it."""
    table = scores.images[scores.images["benchmark"] == benchmark]
    counts = set(table.groupby(["method", "seed"])[metric].count())
    if len(counts) > 1:
        raise DsegError(
            f"methods were scored on different numbers of images of {benchmark} "
            f"({', '.join(map(str, sorted(counts)))}): run the stage evaluation again"
        )
    return f"{benchmark}, {counts.pop()} images" if counts else benchmark
