"""Which differences in a run speak for or against each claim of the paper's abstract.

The claims are our wording of what the abstract says. Which contrasts stand for which claim is our
choice, made before any was computed; they follow from the settings, so that a profile with other
variants needs no code. A claim of which a run has no contrast stays undecided. The rules for
verdicts are in `dseg.reporting.claims`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dseg.reporting import ablations, comparison
from dseg.settings.run import Settings

LEVEL = 0.5  # IoU from which a mask is usable: where a localisation counts as a hit
AT_LEVEL = f"IoU {LEVEL:g}"  # what stands for it where a reference is named
MASK_TABLE = "mask-methods"
LEAST = 0.01  # IoU; differences below one point are of no use to anybody


@dataclass(frozen=True)
class Contrast:
    """One difference in mean IoU that a claim rests on.

    Attributes:
        label: What is compared with what.
        table: The result table that shows it.
        benchmark: The benchmark.
        method: Key of the method, or of the mask method in the table mask-methods.
        reference: Key of what it is compared with, or None for the level.
        least: The smallest difference that supports the claim.
    """

    label: str
    table: str
    benchmark: str
    method: str
    reference: str | None
    least: float = LEAST


def contrasts_of(
    settings: Settings, pairs: Mapping[str, int]
) -> Mapping[str, tuple[str, tuple[Contrast, ...]]]:
    """Text and contrasts of each claim by its name; a claim may have none that this run can make.

    Args:
        settings: As `dseg.reporting.tables.assembly.build_tables`.
        pairs: Number of synthetic pairs that each variant was trained with.
    """
    masks = _mask_contrasts(settings)
    parts = (*masks["parts"], *_head_parts(settings))
    return {
        "usable-masks": (
            "AttentionCut gives usable masks without training.",
            tuple(masks["usable"]),
        ),
        "cross-attention-is-not-enough": (
            "Cross-attention alone is not enough: self-attention and the cut improve its masks.",
            tuple(masks["cross"]),
        ),
        "usable-segmenter": (
            "Synthetic pairs train a usable segmenter.",
            tuple(_segmenter(settings)),
        ),
        "more-data-helps": (
            "More synthetic data helps.",
            tuple(_more_data(settings, pairs)),
        ),
        "inversion-beats-noise": (
            "Inversion bridges the gap between given and synthetic images better than added noise.",
            tuple(_inversion(settings)),
        ),
        "each-part-contributes": ("Each part of the method contributes.", parts),
    }


def _mask_contrasts(settings: Settings) -> dict[str, list[Contrast]]:
    """Contrasts of mask methods, on benchmarks where nothing was chosen."""
    labels, full = comparison.mask_methods(settings), comparison.FULL_METHOD
    found: dict[str, list[Contrast]] = {"usable": [], "cross": [], "parts": []}
    if full not in labels:
        return found
    for benchmark in comparison.mask_benchmarks(settings):
        if benchmark not in comparison.held_out(settings):
            continue

        def contrast(reference: str | None, what: str, place: str = benchmark) -> Contrast:
            return Contrast(f"{labels[full]} minus {what}", MASK_TABLE, place, full, reference)

        found["usable"].append(contrast(None, AT_LEVEL))
        if comparison.MASK_REFERENCE in labels:
            found["cross"].append(contrast(comparison.MASK_REFERENCE, "Otsu on cross-attention"))
        changed = (
            name
            for name, method in sorted(settings.mask_methods.items())
            if name.startswith("without-") and method.method == "attentioncut"
        )
        found["parts"] += [contrast(name, labels[name]) for name in changed]
    return found


def _segmenter(settings: Settings) -> Iterator[Contrast]:
    default = ablations.default_variant(settings)
    for benchmark in comparison.held_out(settings) if default is not None else []:
        assert default is not None
        yield Contrast(f"head minus {AT_LEVEL}", "saliency", benchmark, default, None)
        prior = comparison.BASELINES[0]
        label = f"head minus {comparison.methods(settings)[prior]}"
        yield Contrast(label, "saliency", benchmark, default, prior)


def _more_data(settings: Settings, pairs: Mapping[str, int]) -> Iterator[Contrast]:
    """The most pairs against about half as many, and against the fewest."""
    names = ablations.ablation(settings, "pairs")
    counts = {name: pairs[name] for name in names}
    ordered = sorted(counts, key=lambda name: (counts[name], name))
    if len(ordered) < 2:
        return
    most, fewest = ordered[-1], ordered[0]
    half = min(ordered[:-1], key=lambda name: abs(2 * counts[name] - counts[most]))
    for benchmark in comparison.held_out(settings):
        for fewer in dict.fromkeys((half, fewest)):
            label = f"{counts[most]} pairs minus {counts[fewer]}"
            yield Contrast(label, "pairs", benchmark, most, fewer)


def _inversion(settings: Settings) -> Iterator[Contrast]:
    """Inverted against noised latents at the same timesteps, wherever a run has both."""
    read = {
        name: settings.variant(name)[0]
        for name in ablations.ablation(settings, "features")
        if settings.variant(name)[0].source != "clean"
    }
    for benchmark in comparison.held_out(settings):
        for name, features in read.items():
            twin = features.model_copy(update={"source": "noise"})
            noised = [other for other, own in read.items() if own == twin]
            if features.source == "inversion" and noised:
                at = ", ".join(f"{fraction:g}" for fraction in features.timesteps)
                label = f"inverted minus noised, t = {at}"
                yield Contrast(label, "features", benchmark, name, noised[0])


def _head_parts(settings: Settings) -> Iterator[Contrast]:
    """The head on top of AttentionCut, and what the exploitation stage is made of."""
    default = ablations.default_variant(settings)
    if default is None:
        return
    labels = comparison.methods(settings)
    inverted = [
        name
        for name in settings.recordings
        if settings.recorded(name).latents == "inversion"
        and settings.recorded(name).noun == "object"
    ]
    direct = inverted or [
        name for name in settings.recordings if settings.recorded(name).noun == "object"
    ]
    left_out = {
        name: ("features", "the same on clean latents")
        for name in ablations.ablation(settings, "features")
        if settings.variant(name)[0].source == "clean"
    }
    left_out |= {
        name: ("masks", "the same without the mask filter")
        for name in ablations.ablation(settings, "masks")
        if ablations.changed_keys(settings, name) == {"head.filter"}
    }
    left_out |= {
        name: ("blocks", "the same on an untrained U-Net")
        for name in ablations.ablation(settings, "blocks")
        if settings.variant(name)[0].weights == "random"
    }
    left_out |= {
        name: ("saliency", "RGB network")
        for name in settings.variants
        if ablations.changed_keys(settings, name) == {"head.input"}
        and comparison.is_rgb(settings, name)
    }
    for benchmark in comparison.held_out(settings):
        for name in sorted(direct)[:1]:
            yield Contrast(f"head minus {labels[name]}", "saliency", benchmark, default, name)
        for name, (table, what) in left_out.items():
            yield Contrast(f"head minus {what}", table, benchmark, default, name)
