"""What is compared with what: methods and benchmarks of each table and figure, by the settings.

A method is a recording (AttentionCut on the benchmark's own images), a variant (a trained head)
or a baseline that knows no image. Which of them go together follows from what they change, so
that a profile with other variants needs no code. Orders are made here and do not follow the
settings, whose files are sorted on their way to a stage. Only settings are read, so that the
workflow can ask as well.
"""

from collections.abc import Callable, Mapping, Sequence

from dseg.settings import FeaturesSettings, HeadSettings, Settings

BASELINES = ("centre-prior", "all-foreground")
TABLES = ("saliency", "localisation", "mask-methods", "features", "pairs")
# Public benchmarks by the names they have in profiles, in the order of their tables.
PUBLIC_MASKS = ("ecssd", "duts-te", "dut-omron")
PUBLIC_BOXES = ("voc07", "voc12", "coco20k")
CHOSEN_ON = "val"  # for choosing settings, on it or on more renders of it: not held out
MASK_RECORDING = "attentioncut-noise"  # all mask methods start from its attention
MASK_REFERENCE = "otsu"
FULL_METHOD = "attentioncut"

_LATENTS = {"inversion": "inverted", "noise": "noised", "clean": "clean"}
_FIRST = (CHOSEN_ON, "test", "shift", "multi")  # other benchmarks come after, by name
_METHODS = ("threshold", "otsu", "walk", "attentioncut")


def tables(settings: Settings) -> list[str]:
    """Names of all tables: those of any run, and those beside published scores where they fit."""
    names = list(TABLES)
    if public(settings, PUBLIC_MASKS):
        names.append("saliency-benchmarks")
    if public(settings, PUBLIC_BOXES):
        names.append("localisation-benchmarks")
    return names


def public(settings: Settings, names: Sequence[str]) -> list[str]:
    """Those of the public benchmarks `names` that the settings have, in that order."""
    return [name for name in names if name in settings.benchmarks]


def methods(settings: Settings) -> dict[str, str]:
    """Labels of all methods by key, in the order of the tables."""
    baselines = {name: name.replace("-", " ") for name in BASELINES}
    recordings = {name: _recording_label(settings, name) for name in _recordings(settings)}
    variants = {name: _variant_label(settings, name) for name in _variants(settings)}
    return _distinct(baselines | recordings | variants)


def main_methods(settings: Settings) -> list[str]:
    """Methods of the main tables: all but the variants that only an ablation is about."""
    ablations = {*feature_variants(settings), *pair_variants(settings)}
    ablations.discard(default_variant(settings) or "")
    return [name for name in methods(settings) if name not in ablations]


def mask_methods(settings: Settings) -> dict[str, str]:
    """Labels of the mask methods by key: thresholds, walks, AttentionCut, and it with changes."""

    def rank(name: str) -> tuple[int, int, bool, str]:
        method = settings.mask_methods[name]
        kind = _METHODS.index(method.method)
        return kind, method.steps, bool(method.attentioncut), name

    labels = {}
    for name in sorted(settings.mask_methods, key=rank):
        method = settings.mask_methods[name]
        if method.method == "attentioncut":
            change = name.removeprefix(FULL_METHOD).strip("-").replace("-", " ")
            labels[name] = f"AttentionCut {change}".rstrip()
        elif method.method == "walk":
            steps = "step" if method.steps == 1 else "steps"
            labels[name] = f"walk of {method.steps} {steps}, Otsu"
        else:
            labels[name] = {"threshold": "fixed threshold", "otsu": "Otsu"}[method.method]
    return _distinct(labels)


def default_variant(settings: Settings) -> str | None:
    """The variant that takes the sections features and head as they are, if there is one."""
    default = (settings.features, settings.head)
    found = sorted(name for name in settings.variants if settings.variant(name) == default)
    return found[0] if found else None


def feature_variants(settings: Settings) -> list[str]:
    """The default variant and those that change `features` only; none without a default."""
    return _ablation(settings, lambda features, head: head == settings.head)


def pair_variants(settings: Settings) -> list[str]:
    """Those that change `head.pairs` only, and the default, by ascending number; null is last."""

    def belongs(features: FeaturesSettings, head: HeadSettings) -> bool:
        alike = head.model_copy(update={"pairs": settings.head.pairs})
        return features == settings.features and alike == settings.head

    names = _ablation(settings, belongs)
    return sorted(names, key=lambda name: settings.variant(name)[1].pairs or float("inf"))


def feature_label(settings: Settings, variant: str) -> str:
    """What features a variant reads: how its latents were made and at which timesteps."""
    features, _ = settings.variant(variant)
    at = ", ".join(f"{fraction:g}" for fraction in features.timesteps)
    return f"{_LATENTS[features.source]}, t = {at}"


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


def figures(settings: Settings) -> list[str]:
    """Names of the figures; each is drawn in every run, and says so if it has nothing to show."""
    galleries = [f"gallery-{name}" for name in held_out(settings)]
    return ["masks", *galleries, "mask-methods", "precision-recall", "pairs"]


def _ablation(
    settings: Settings, belongs: Callable[[FeaturesSettings, HeadSettings], bool]
) -> list[str]:
    if default_variant(settings) is None:
        return []
    return [name for name in _variants(settings) if belongs(*settings.variant(name))]


def _benchmarks(settings: Settings) -> list[str]:
    known = [name for name in _FIRST if name in settings.benchmarks]
    return known + sorted(set(settings.benchmarks) - set(known))


def _has_masks(settings: Settings, benchmark: str) -> bool:
    return settings.benchmarks[benchmark].layout == "saliency"


def _recordings(settings: Settings) -> list[str]:
    """The noun told first, then noise before inversion."""

    def rank(name: str) -> tuple[bool, bool, str]:
        recording = settings.recorded(name)
        return recording.noun != "class", recording.latents != "noise", name

    return sorted(settings.recordings, key=rank)


def _variants(settings: Settings) -> list[str]:
    """The default first, other features, fewer pairs, networks without features last."""
    default = default_variant(settings)

    def rank(name: str) -> tuple[bool, bool, float, bool, int, str]:
        features, head = settings.variant(name)
        pairs, source = head.pairs or float("inf"), list(_LATENTS).index(features.source)
        late = features.source != "clean" and features.timesteps != settings.features.timesteps
        return head.input == "rgb", name != default, -pairs, late, source, name

    return sorted(settings.variants, key=rank)


def _recording_label(settings: Settings, name: str) -> str:
    recording = settings.recorded(name)
    noun = "noun told" if recording.noun == "class" else "noun not told"
    return f"AttentionCut, {_LATENTS[recording.latents]} image, {noun}"


def _variant_label(settings: Settings, name: str) -> str:
    features, head = settings.variant(name)
    inputs = f"head, {_LATENTS[features.source]} features"
    if features.source != "clean" and features.timesteps != settings.features.timesteps:
        inputs += f", t = {', '.join(f'{fraction:g}' for fraction in features.timesteps)}"
    label = "RGB network" if head.input == "rgb" else inputs
    return label if head.pairs is None else f"{label}, {head.pairs} pairs"


def _distinct(labels: Mapping[str, str]) -> dict[str, str]:
    """Labels with the key added where an earlier key has the same."""
    given: dict[str, str] = {}
    for key, label in labels.items():
        given[key] = f"{label} ({key})" if label in given.values() else label
    return given
