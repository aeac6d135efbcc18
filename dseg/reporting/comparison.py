"""What is compared with what: methods and benchmarks of each table and figure, by the settings.

A method is a recording (AttentionCut on the benchmark's own images), a variant (a trained head), a
rival that sees the image alone, or a baseline that knows no image. Which of them go together
follows from what they change, so that a profile with other variants needs no code. Orders are made
here and do not follow the settings, whose files are sorted on their way to a stage. Only settings
are read, so that the workflow can ask as well.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dseg.reporting.ablations import (
    ABLATIONS,
    LATENTS,
    ablation,
    ablation_label,
    default_variant,
    ordered_variants,
    table_of,
)
from dseg.settings.masks import MASK_RECORDING, TOLD, WRONG
from dseg.settings.run import WORLD, Settings
from dseg.world.strengths import STRENGTHS, shift_strength

# The settings from which all this follows, and what things are called.
COMPARED = (
    "benchmarks",
    "synthesis.guidance",
    "synthesis.steps",
    "syntheses",
    "recording",
    "recordings",
    "mask_recordings",
    "inversion",
    "inversions",
    "features",
    "head",
    "variants",
    "mask_methods",
    "image_methods",
)
BASELINES = ("centre-prior", "all-foreground")
TABLES = ("saliency", "localisation", "mask-methods", "features", "pairs")
SYNTHETIC_MASKS = "mask-methods-synthetic"  # where an instrument judges synthetic images
POSTPROCESSING = "postprocessing"
ROUND_TRIP = "round-trip"  # beside the ablation of ways to invert
PUBLIC_MASK_TABLE, PUBLIC_BOX_TABLE = "saliency-benchmarks", "localisation-benchmarks"
# Public benchmarks by the names they have in profiles, in the order of their tables.
PUBLIC_MASKS = ("ecssd", "duts-te", "dut-omron")
PUBLIC_BOXES = ("voc07", "voc12", "coco20k")
CHOSEN_ON = "val"  # for choosing settings, on it or on more renders of it: not held out
MASK_REFERENCE = "otsu"
ABLATION_FIGURE, SHIFT_FIGURE = "ablation-", "shift"
FULL_METHOD = "attentioncut"
UNTOLD = "object"  # says nothing of what an image shows

_FIRST = (
    CHOSEN_ON,
    "test",
    "mild",
    "shift",
    "harsh",
    "multi",
)  # other benchmarks come after, by name
_ALONE = {  # methods that see the image alone, in the order of the tables
    "otsu": "Otsu's threshold of luminance",
    "spectral-residual": "spectral residual",
    "grabcut": "GrabCut from a rectangle",
}
_METHODS = {  # mask methods in the order of the table
    "threshold": "fixed threshold",
    "otsu": "Otsu",
    "walk": "walk",
    "daam": "DAAM",
    "dataset-diffusion": "Dataset Diffusion",
    "tokencut": "TokenCut",
    "tokencut-noun": "TokenCut, side by noun",
    "diffcut": "DiffCut, segments by noun",
    "grabcut": "GrabCut, seeded",
    "attentioncut": "AttentionCut",
}


def public(settings: Settings, names: Sequence[str]) -> list[str]:
    """Those of the public benchmarks `names` that the settings have, in that order."""
    return [name for name in names if name in settings.benchmarks]


def methods(settings: Settings) -> dict[str, str]:
    """Labels of all methods by key, in the order of the tables."""
    baselines = {name: name.replace("-", " ") for name in BASELINES}
    alone = {name: _image_label(settings, name) for name in _image_methods(settings)}
    recordings = {name: _recording_label(settings, name) for name in _recordings(settings)}
    variants = {name: _variant_label(settings, name) for name in ordered_variants(settings)}
    return _distinct(baselines | alone | recordings | variants)


def main_methods(settings: Settings) -> list[str]:
    """Methods of the main tables: all but the variants that only an ablation is about."""
    ablations = {name for table in ABLATIONS for name in ablation(settings, table)}
    ablations.discard(default_variant(settings) or "")
    return [name for name in methods(settings) if name not in ablations]


def mask_methods(settings: Settings) -> dict[str, str]:
    """Labels of the mask methods by key: thresholds, others' recipes, AttentionCut, its changes.

    Those that start from another recording than most come after, by recording.
    """

    def rank(name: str) -> tuple[bool, str, int, int, float, bool, str]:
        method = settings.mask_methods[name]
        other = method.recording != MASK_RECORDING
        changed = _is_changed(settings, name)
        kind = list(_METHODS).index(method.method)
        place = method.recording if other else ""
        return other, place, kind, method.steps, -method.exponent, changed, _in_order(name)

    labels = {}
    for name in sorted(settings.mask_methods, key=rank):
        method = settings.mask_methods[name]
        label = _METHODS[method.method]
        if method.method == "walk":
            label = f"walk of {method.steps} {'step' if method.steps == 1 else 'steps'}, Otsu"
        if method.method in ("otsu", "walk") and method.exponent != 1:
            label += f" of the map to the power {method.exponent:g}"
        if _is_changed(settings, name):
            change = name.removeprefix(method.method).strip("-").replace("-", " ")
            label = f"{label} {change}".rstrip()
        labels[name] = label + _recording_note(settings, method.recording)
    return _distinct(labels)


def mask_recordings(settings: Settings) -> list[str]:
    """The recordings that mask methods start from, by name."""
    known = {*settings.recordings, *settings.mask_recordings}
    return sorted({method.recording for method in settings.mask_methods.values()} & known)


@dataclass(frozen=True)
class MaskGroup:
    """Mask methods that are compared with the same ones.

    Attributes:
        names: Their keys, in the order of the table.
        reference: Otsu's threshold, from the same recording if it is there.
        full: AttentionCut as it is, likewise.
    """

    names: tuple[str, ...]
    reference: str
    full: str


def mask_groups(settings: Settings) -> list[MaskGroup]:
    """Mask methods by what they are compared with.

    A recording that has a row of Otsu's threshold and one of AttentionCut is a comparison of its
    own; methods on other recordings are compared with those on `MASK_RECORDING`.
    """
    plain = {
        (method.recording, method.method): name
        for name, method in sorted(settings.mask_methods.items())
        if not _is_changed(settings, name) and method.exponent == 1
    }
    plain |= {
        (MASK_RECORDING, settings.mask_methods[name].method): name
        for name in (MASK_REFERENCE, FULL_METHOD)
        if name in settings.mask_methods
    }
    groups: dict[str, list[str]] = {}
    for name in mask_methods(settings):
        recording = settings.mask_methods[name].recording
        alone = {(recording, "otsu"), (recording, "attentioncut")} <= plain.keys()
        groups.setdefault(recording if alone else MASK_RECORDING, []).append(name)
    return [
        MaskGroup(
            tuple(names),
            plain.get((recording, "otsu"), MASK_REFERENCE),
            plain.get((recording, "attentioncut"), FULL_METHOD),
        )
        for recording, names in groups.items()
    ]


def _is_changed(settings: Settings, name: str) -> bool:
    """Whether AttentionCut has other settings here than everywhere else."""
    method = settings.mask_methods[name]
    return method.method == "attentioncut" and bool(method.attentioncut or method.cross_strides)


def _in_order(name: str) -> str:
    """A key by which names that end in numbers sort by number."""
    return re.sub(r"\d+", lambda match: match.group().zfill(4), name)


def _recording_note(settings: Settings, name: str) -> str:
    """How a recording differs from the one most mask methods start from, as ", ..."."""
    if MASK_RECORDING not in settings.recordings or name == MASK_RECORDING:
        return ""
    usual, own = settings.recorded(MASK_RECORDING), settings.recorded(name)
    notes = []
    if own.latents != usual.latents:
        notes.append(f"{LATENTS[own.latents]} image")
    elif own.timesteps != usual.timesteps:
        notes.append(f"t = {own.timesteps[0]:g} to {own.timesteps[-1]:g}")
    if own.noun != usual.noun:
        notes.append(_told(own.noun))
    if own.affinity_stride != usual.affinity_stride:
        notes.append(f"self-attention at stride {own.affinity_stride}")
    return "".join(f", {note}" for note in notes)


def tables(settings: Settings) -> list[str]:
    """Names of the result tables.

    Those of every run, the ablations that there are, and those beside published scores where the
    settings have their benchmarks.
    """
    names = [*TABLES]
    names += [
        name for name in ABLATIONS if name not in TABLES and len(ablation(settings, name)) > 1
    ]
    if "inversions" in names:
        names.append(ROUND_TRIP)
    ways = len(settings.evaluation.postprocessing) * len(settings.evaluation.modes)
    if ways > 1 and postprocessed(settings):
        names.append(POSTPROCESSING)
    if settings.instruments.scored is not None:
        names.append(SYNTHETIC_MASKS)
    if public(settings, PUBLIC_MASKS):
        names.append(PUBLIC_MASK_TABLE)
    if public(settings, PUBLIC_BOXES):
        names.append(PUBLIC_BOX_TABLE)
    return names


def postprocessed(settings: Settings) -> list[str]:
    """Methods that are scored after every post-processing, in the order of the tables."""
    named = settings.evaluation.postprocessed
    if named is None:
        return [name for name in methods(settings) if name not in BASELINES]
    return [name for name in methods(settings) if name in named]


def is_rgb(settings: Settings, method: str) -> bool:
    """Whether a method is a network that sees the image alone."""
    return method in settings.variants and settings.variant(method)[1].input == "rgb"


def gallery_methods(settings: Settings) -> dict[str, str]:
    """Short labels of the galleries' methods by key: AttentionCut, the head, the RGB network."""
    names = {}
    if MASK_RECORDING in settings.recordings:
        names[MASK_RECORDING] = "AttentionCut"
    default = default_variant(settings)
    if default is not None:
        names[default] = "RGB network" if is_rgb(settings, default) else "head"
    for name in main_methods(settings):
        if is_rgb(settings, name) and name not in names:
            names[name] = "RGB network"
            break
    return names


def mask_benchmarks(settings: Settings) -> list[str]:
    """Benchmarks of the mask methods: the one they were chosen on, and the first held-out one."""
    return saliency_benchmarks(settings)[:2]


def held_out(settings: Settings) -> list[str]:
    """Benchmarks with masks on which nothing was chosen; all with masks if there is none."""
    names = saliency_benchmarks(settings)
    return [name for name in names if name != CHOSEN_ON] or names


def saliency_benchmarks(settings: Settings) -> list[str]:
    """Benchmarks with masks, the one that settings were chosen on first."""
    return [name for name in _benchmarks(settings) if _has_masks(settings, name)]


def box_benchmarks(settings: Settings) -> list[str]:
    """Benchmarks with boxes."""
    return [name for name in _benchmarks(settings) if not _has_masks(settings, name)]


def is_asked(settings: Settings, recording: str, benchmark: str) -> bool:
    """Whether a recording can be made of a benchmark: what it tells must be known there."""
    told = settings.recorded(recording).noun in (TOLD, WRONG)
    return settings.benchmarks[benchmark].named or not told


def figures(settings: Settings) -> list[str]:
    """Names of the figures; each is drawn in every run, and says so if it has nothing to show."""
    galleries = [f"gallery-{name}" for name in held_out(settings)]
    changed = [
        f"{ABLATION_FIGURE}{name}"
        for name in ABLATIONS
        if name != "pairs" and len(ablation(settings, name)) > 1
    ]
    more = [SHIFT_FIGURE] if len(shifts(settings)) > 2 else []
    return ["masks", *galleries, "mask-methods", "precision-recall", "pairs", *changed, *more]


def shifts(settings: Settings) -> dict[str, float]:
    """Benchmarks of the embedded world that differ in the strength of the shift, by it."""
    strengths = {
        name: shift_strength(benchmark.root.removeprefix(WORLD), settings.world.shift_strength)
        for name, benchmark in settings.benchmarks.items()
        if benchmark.root.startswith(WORLD) and benchmark.root.removeprefix(WORLD) in STRENGTHS
    }
    return dict(sorted(strengths.items(), key=lambda item: item[1]))


def _benchmarks(settings: Settings) -> list[str]:
    known = [name for name in _FIRST if name in settings.benchmarks]
    return known + sorted(set(settings.benchmarks) - set(known))


def _has_masks(settings: Settings, benchmark: str) -> bool:
    return settings.benchmarks[benchmark].layout == "saliency"


def _recordings(settings: Settings) -> list[str]:
    """The noun told first, then noise before inversion."""

    def rank(name: str) -> tuple[int, bool, str]:
        recording = settings.recorded(name)
        told = {TOLD: 0, WRONG: 2}.get(recording.noun, 1)
        return told, recording.latents != "noise", name

    return sorted(settings.recordings, key=rank)


def _recording_label(settings: Settings, name: str) -> str:
    recording = settings.recorded(name)
    return f"AttentionCut, {LATENTS[recording.latents]} image, {_told(recording.noun)}"


def _told(noun: str) -> str:
    if noun in (TOLD, WRONG):
        return "noun told" if noun == TOLD else "another noun told"
    return "noun not told" if noun == UNTOLD else f'always "{noun}"'


def _image_methods(settings: Settings) -> list[str]:
    order = list(_ALONE)
    return sorted(
        settings.image_methods,
        key=lambda name: (order.index(settings.image_methods[name].method), _in_order(name)),
    )


def _image_label(settings: Settings, name: str) -> str:
    return _ALONE[settings.image_methods[name].method]


def _variant_label(settings: Settings, name: str) -> str:
    features, head = settings.variant(name)
    table = table_of(settings, name)
    if table in ("inversions", "blocks", "heads", "masks", "syntheses"):
        return f"head, {ablation_label(settings, table, name)}"
    inputs = f"head, {LATENTS[features.source]} features"
    if features.source != "clean" and features.timesteps != settings.features.timesteps:
        inputs += f", t = {', '.join(f'{fraction:g}' for fraction in features.timesteps)}"
    label = "RGB network" if head.input == "rgb" else inputs
    if head.pairs == settings.head.pairs:
        return label
    return f"{label}, {head.pairs or 'all'} pairs"


def _distinct(labels: Mapping[str, str]) -> dict[str, str]:
    """Labels with the key added where an earlier key has the same."""
    given: dict[str, str] = {}
    for key, label in labels.items():
        given[key] = f"{label} ({key})" if label in given.values() else label
    return given
