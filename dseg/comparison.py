"""What is compared with what: methods and benchmarks of each table and figure, by the settings.

A method is a recording (AttentionCut on the benchmark's own images), a variant (a trained head)
or a baseline that knows no image. Which of them go together follows from what they change, so
that a profile with other variants needs no code. Orders are made here and do not follow the
settings, whose files are sorted on their way to a stage. Only settings are read, so that the
workflow can ask as well.
"""

from collections.abc import Mapping, Sequence

from dseg.settings import FeaturesSettings, HeadSettings, Settings

BASELINES = ("centre-prior", "all-foreground")
TABLES = ("saliency", "localisation", "mask-methods", "features", "pairs")
ROUND_TRIP = "round-trip"  # beside the ablation of ways to invert
# Public benchmarks by the names they have in profiles, in the order of their tables.
PUBLIC_MASKS = ("ecssd", "duts-te", "dut-omron")
PUBLIC_BOXES = ("voc07", "voc12", "coco20k")
CHOSEN_ON = "val"  # for choosing settings, on it or on more renders of it: not held out
MASK_RECORDING = "attentioncut-noise"  # all mask methods start from its attention
MASK_REFERENCE = "otsu"
FULL_METHOD = "attentioncut"

# What the table of an ablation is about: what its variants change, and what they may change along.
_FEATURES = frozenset(f"features.{key}" for key in FeaturesSettings.model_fields)
ABLATIONS: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {
    "features": (frozenset({"features.source", "features.timesteps"}), frozenset()),
    "inversions": (frozenset({"features.inversion", "features.prompt"}), frozenset()),
    "blocks": (
        frozenset({"features.strides", "features.maps", "features.weights"}),
        _FEATURES,
    ),
    "heads": (
        frozenset(f"head.{key}" for key in HeadSettings.model_fields)
        - {"head.input", "head.pairs", "head.masks", "head.filter", "head.seeds"},
        frozenset(),
    ),
    "masks": (frozenset({"head.masks", "head.filter"}), frozenset()),
    "pairs": (frozenset({"head.pairs"}), frozenset()),
}

_LATENTS = {"inversion": "inverted", "noise": "noised", "clean": "clean"}
_FIRST = (CHOSEN_ON, "test", "shift", "multi")  # other benchmarks come after, by name
_METHODS = ("threshold", "otsu", "walk", "attentioncut")


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
    ablations = {name for table in ABLATIONS for name in ablation(settings, table)}
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


def ablation(settings: Settings, table: str) -> list[str]:
    """The default variant and those that an ablation's table is about; none without a default."""
    default = default_variant(settings)
    if default is None:
        return []
    names = [
        name
        for name in _variants(settings)
        if name == default or _table_of(settings, name) == table
    ]
    if table == "pairs":
        names.sort(key=lambda name: settings.variant(name)[1].pairs or float("inf"))
    return names


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
    if public(settings, PUBLIC_MASKS):
        names.append("saliency-benchmarks")
    if public(settings, PUBLIC_BOXES):
        names.append("localisation-benchmarks")
    return names


def _table_of(settings: Settings, variant: str) -> str | None:
    """The ablation that a variant belongs to: by what it changes, the first that allows it."""
    changes = changed_keys(settings, variant)
    for name, (own, also) in ABLATIONS.items():
        if changes & own and changes <= own | also:
            return name
    return None


def changed_keys(settings: Settings, variant: str) -> set[str]:
    """What a variant has different from the sections features and head, as dotted keys."""
    default = {"features": settings.features, "head": settings.head}
    own = dict(zip(default, settings.variant(variant), strict=True))
    return {
        f"{section}.{key}"
        for section, values in default.items()
        for key in type(values).model_fields
        if getattr(values, key) != getattr(own[section], key)
    }


def ablation_label(settings: Settings, table: str, variant: str) -> str:
    """The row of a variant in the table of an ablation: what the table is about, in words."""
    features, head = settings.variant(variant)
    if table == "features":
        return latents_label(features)
    if table == "inversions":
        said = inversion_label(settings, features.inversion)
        told = settings.inverted(features.inversion).prompt
        return said if features.prompt == told else f'{said}, read with "{features.prompt}"'
    if table == "blocks":
        strides = f"{_listed('stride', features.strides)}"
        what = {"decoder": f"decoder, {strides}", "attention": "attention maps"}
        said = " and ".join(what[each] for each in features.maps)
        untrained = ", untrained U-Net" if features.weights == "random" else ""
        return f"{said}{untrained}, {latents_label(features)}"
    if table == "heads":
        pixels = ", pixels" if head.pixels and head.architecture == "multi" else ""
        usual = {"head.architecture", "head.pixels", "head.loss"}
        rest = sorted(changed_keys(settings, variant) - usual)
        more = "".join(f", {key.removeprefix('head.')} {_value(head, key)}" for key in rest)
        return f"{head.architecture}{pixels}, {head.loss}{more}"
    if table == "masks":
        return f"{head.masks}, {'filtered' if head.filter else 'all'}"
    raise ValueError(f"no ablation {table}")


def inversions(settings: Settings) -> list[str]:
    """The ways to invert that some variant reads: the default's first, then by name."""
    read = {settings.variant(name)[0].inversion for name in settings.variants}
    return sorted(read, key=lambda name: (name != settings.features.inversion, name))


def inversion_label(settings: Settings, name: str) -> str:
    """A way to invert: its steps, iterations and caption."""
    own = settings.inverted(name)
    count = own.fixed_point
    iterations = f"{count} iteration{'s' if count > 1 else ''}" if count else "explicit"
    return f"{own.steps} steps, {iterations}, " + (f'"{own.prompt}"' if own.prompt else "no prompt")


def latents_label(features: FeaturesSettings) -> str:
    """How latents were made and at which timesteps."""
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
    several = [name for name in ABLATIONS if len(ablation(settings, name)) > 1]
    more = ["ablations"] if set(several) - set(TABLES) else []
    return ["masks", *galleries, "mask-methods", "precision-recall", "pairs", *more]


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
    table = _table_of(settings, name)
    if table in ("inversions", "blocks", "heads", "masks"):
        return f"head, {ablation_label(settings, table, name)}"
    inputs = f"head, {_LATENTS[features.source]} features"
    if features.source != "clean" and features.timesteps != settings.features.timesteps:
        inputs += f", t = {', '.join(f'{fraction:g}' for fraction in features.timesteps)}"
    label = "RGB network" if head.input == "rgb" else inputs
    if head.pairs == settings.head.pairs:
        return label
    return f"{label}, {head.pairs or 'all'} pairs"


def _listed(noun: str, numbers: Sequence[int]) -> str:
    return f"{noun}{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"


def _value(head: HeadSettings, key: str) -> str:
    return f"{getattr(head, key.removeprefix('head.')):g}"


def _distinct(labels: Mapping[str, str]) -> dict[str, str]:
    """Labels with the key added where an earlier key has the same."""
    given: dict[str, str] = {}
    for key, label in labels.items():
        given[key] = f"{label} ({key})" if label in given.values() else label
    return given
