"""Scores per image to the summary of a run: each interval and each test computed once.

Which methods are tested against which follows from the settings, for the tables (`comparison`,
`ablations`) and the claims (`contrasts`) together.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np

from dseg.errors import DsegError
from dseg.evaluation.scoring import BOX_MODE
from dseg.evaluation.statistics import compare, mean_interval, share_interval
from dseg.reporting import ablations, comparison
from dseg.reporting.contrasts import AT_LEVEL, LEVEL, MASK_TABLE, contrasts_of
from dseg.reporting.scores import WAY, Scores, SyntheticScores, Way
from dseg.reporting.summary import SYNTHETIC, Estimate, Kind, Summary
from dseg.settings.run import Settings

_Key = tuple[str, str, Way]  # method, benchmark, way
_Test = tuple[str, str, str]  # method, reference, benchmark
_KEY = ["method", "benchmark", *WAY, "protocol", "metric"]


def summarise(settings: Settings, scores: Scores) -> Summary:
    """The summary of a run.

    Args:
        settings: Sections seed, benchmarks, recording, recordings, mask_recordings, features, head,
            variants, mask_methods, evaluation, and what labels are made of.
        scores: The scores of the run.

    Raises:
        DsegError: Scores contradict each other.
    """
    claimed = _contrasts(settings, scores, lambda table: table == MASK_TABLE)
    estimates = [
        *_counts(settings, scores),
        *_methods(settings, scores),
        *_masks(settings, scores.of_masks, Kind.MASKS, claimed),
        *_round_trips(settings, scores),
    ]
    if scores.synthetic is not None:
        estimates += _synthetic(settings, scores.synthetic)
    return Summary.of(estimates)


def _counts(settings: Settings, scores: Scores) -> Iterator[Estimate]:
    kept, count = int(scores.kept.sum()), len(scores.kept)
    yield Estimate(Kind.PAIRS, "", "kept", kept, images=count)
    for name in settings.variants:
        yield Estimate(Kind.PAIRS, name, "pairs", scores.pairs(settings.variant(name)[1]))


def _methods(settings: Settings, scores: Scores) -> list[Estimate]:
    """Scores of whole benchmarks under every protocol, and what images say of IoU and of boxes."""
    evaluation = settings.evaluation
    plain, boxes = ("none", evaluation.mode), ("none", BOX_MODE)
    if scores.table.duplicated([*_KEY, "seed"]).any():
        raise DsegError("scores: a training has two of one kind: run the stage evaluation again")
    found: dict[tuple[str, ...], Estimate] = {}
    for key, rows in scores.table.groupby(_KEY):
        method, benchmark, postprocessing, mode, protocol, metric = map(str, key)
        if metric == "corloc" or (protocol, metric) == (evaluation.protocol, "iou"):
            continue  # they have an interval, from the scores of images below
        found[method, benchmark, postprocessing, mode, protocol, metric] = Estimate(
            Kind.METHOD,
            method,
            metric,
            float(rows["value"].mean()),
            benchmark=benchmark,
            protocol=protocol,
            postprocessing=postprocessing,
            mode=mode,
            shown=(postprocessing, mode) == plain and protocol == evaluation.protocol,
            images=int(rows["images"].iloc[0]),
            trainings=len(rows),
        )
    iou, hits = scores.of_images("iou"), scores.of_images("hit")
    for matrices, way in ((iou, plain), (hits, boxes)):
        _check_images({key: values for key, values in matrices.items() if key[2] == way})
    means = [
        (key, (evaluation.protocol, "iou"), mean_interval(values, seed=settings.seed), values)
        for key, values in iou.items()
    ] + [
        (key, (f"box-{evaluation.box}", "corloc"), share_interval(values), values)
        for key, values in hits.items()
    ]
    for (method, benchmark, way), (protocol, metric), interval, values in means:
        found[method, benchmark, *way, protocol, metric] = Estimate(
            Kind.METHOD,
            method,
            metric,
            interval.value,
            benchmark=benchmark,
            protocol=protocol,
            postprocessing=way[0],
            mode=way[1],
            shown=way in (plain, boxes),
            low=interval.low,
            high=interval.high,
            images=values.shape[1],
            trainings=len(values),
        )
    tests = [
        _difference(settings, found[method, benchmark, *way, evaluation.protocol, "iou"], *against)
        for (method, benchmark, way), against in _tests(settings, scores, iou, plain)
    ]
    return [*found.values(), *tests]


def _tests(
    settings: Settings, scores: Scores, iou: Mapping[_Key, np.ndarray], plain: Way
) -> Iterator[tuple[_Key, tuple[str, np.ndarray, np.ndarray]]]:
    """Every test of methods that a table or a claim asks for: of what, against what, both sides."""
    default, held_out = ablations.default_variant(settings), comparison.held_out(settings)
    wanted = {
        (name, default, benchmark): None
        for table in ablations.ABLATIONS
        for name in ablations.ablation(settings, table)
        for benchmark in held_out
        if default is not None and name != default
    }
    wanted |= _contrasts(settings, scores, lambda table: table != MASK_TABLE)
    for method, reference, benchmark in wanted:
        values = iou.get((method, benchmark, plain))
        base = iou.get((reference, benchmark, plain))
        if values is not None and reference == AT_LEVEL:
            base = np.full_like(values[:1], LEVEL)
        if values is not None and base is not None:
            yield (method, benchmark, plain), (reference, *paired(values, base))
    if comparison.POSTPROCESSING not in comparison.tables(settings):
        return
    methods = comparison.postprocessed(settings)
    for (method, benchmark, way), values in iou.items():
        base = iou.get((method, benchmark, plain))
        if method in methods and benchmark in held_out and way != plain and base is not None:
            yield (method, benchmark, way), (method, values, base)


def _contrasts(
    settings: Settings, scores: Scores, wanted: Callable[[str], bool]
) -> dict[_Test, None]:
    """What the claims rest on, of the tables that are wanted."""
    counts = {name: scores.pairs(settings.variant(name)[1]) for name in settings.variants}
    return {
        (each.method, each.reference or AT_LEVEL, each.benchmark): None
        for _, contrasts in contrasts_of(settings, counts).values()
        for each in contrasts
        if wanted(each.table)
    }


def _masks(
    settings: Settings,
    scores: Mapping[tuple[str, str], np.ndarray],
    kind: Kind,
    claimed: Iterable[_Test] = (),
) -> Iterator[Estimate]:
    """Every mask method with its interval, and what it is compared with.

    Args:
        settings: As in `summarise`.
        scores: IoU on every image, (n,), by method and benchmark.
        kind: Of the rows.
        claimed: Tests that claims rest on.
    """
    rows = {}
    for (name, benchmark), iou in scores.items():
        interval = mean_interval(iou, seed=settings.seed)
        rows[name, benchmark] = Estimate(
            kind,
            name,
            "iou",
            interval.value,
            benchmark=benchmark,
            protocol=settings.evaluation.protocol,
            low=interval.low,
            high=interval.high,
            images=len(iou),
        )
    yield from rows.values()
    tests = {
        (name, reference, benchmark): None
        for group in comparison.mask_groups(settings)
        for reference in (group.reference, group.full)
        for name, benchmark in scores
        if name in group.names and reference in group.names and name != reference
    }
    for name, reference, benchmark in tests | dict.fromkeys(claimed):
        values, base = scores.get((name, benchmark)), scores.get((reference, benchmark))
        if values is not None and reference == AT_LEVEL:
            base = np.full_like(values, LEVEL)
        if values is not None and base is not None:
            yield _difference(settings, rows[name, benchmark], reference, values, base)


def _synthetic(settings: Settings, judged: SyntheticScores) -> Iterator[Estimate]:
    """Mask methods on the images on which the oracle finds an object, and what is said of both."""
    found = judged.masks[judged.masks["found"]].sort_values("id")
    scores = {
        (str(name), SYNTHETIC): rows["iou"].to_numpy() for name, rows in found.groupby("method")
    }
    yield from _masks(settings, scores, Kind.SYNTHETIC)
    per_image = judged.masks.drop_duplicates("id")
    full = found[(found["method"] == comparison.FULL_METHOD) & found["named"]]["iou"]
    count = len(per_image)
    yield Estimate(Kind.INSTRUMENT, "oracle", "iou", judged.oracle_iou, images=judged.oracle_images)
    yield Estimate(Kind.INSTRUMENT, "classifier", "named", judged.classifier)
    for method, metric, value, images in (
        ("oracle", "found", per_image["found"].sum(), count),
        ("oracle", "dropped", (per_image["found"] & ~per_image["kept"]).sum(), count),
        ("classifier", "named", per_image["named"].mean(), count),
        (comparison.FULL_METHOD, "iou of named", full.mean(), len(full)),
    ):
        yield Estimate(
            Kind.INSTRUMENT, method, metric, float(value), benchmark=SYNTHETIC, images=images
        )


def _round_trips(settings: Settings, scores: Scores) -> Iterator[Estimate]:
    """How exactly each way to invert leads back, on the first held-out benchmark."""
    if scores.round_trips is None:
        return
    benchmark = comparison.held_out(settings)[0]
    for name, rows in scores.round_trips.sort_values("id").groupby("inversion"):
        error = mean_interval(rows["error"].to_numpy(), seed=settings.seed)
        whole = Estimate(
            Kind.INVERSION, str(name), "error", error.value, benchmark=benchmark, images=len(rows)
        )
        yield replace(whole, low=error.low, high=error.high)
        yield replace(whole, metric="psnr", value=float(rows["psnr"].mean()))
        yield replace(whole, metric="passes", value=float(rows["passes"].iloc[0]))


def _difference(
    settings: Settings, row: Estimate, reference: str, values: np.ndarray, base: np.ndarray
) -> Estimate:
    """The row of a tested difference, from that of the method."""
    test = compare(values, base, seed=settings.seed)
    return replace(
        row,
        reference=reference,
        value=test.difference.value,
        low=test.difference.low,
        high=test.difference.high,
        images=test.images,
        trainings=test.trainings,
        p=test.p_value,
        d_z=test.effect,
        rank_biserial=test.rank_effect,
        detectable=test.detectable,
        own=float(values.mean()),
        other=float(base.mean()),
    )


def paired(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores (S, N) of two methods on the trainings that both have.

    Trainings of one number share the split of their pairs and, in equal networks, the first
    weights. What is not trained has one row, and goes with every training.
    """
    if 1 in (len(first), len(second)):
        return first, second
    common = min(len(first), len(second))
    return first[:common], second[:common]


def _check_images(scores: Mapping[_Key, np.ndarray]) -> None:
    """Raise DsegError unless all methods were scored on as many images of a benchmark."""
    counts: dict[str, set[int]] = {}
    for (_, benchmark, _), values in scores.items():
        counts.setdefault(benchmark, set()).add(values.shape[1])
    for benchmark, found in counts.items():
        if len(found) > 1:
            raise DsegError(
                f"methods were scored on different numbers of images of {benchmark} "
                f"({', '.join(map(str, sorted(found)))}): run the stage evaluation again"
            )
