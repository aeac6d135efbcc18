"""Ablations: which variants differ from the default one in what, and how their rows are called.

Which variants go together follows from what they change, so that a profile with other variants
needs no code. Only settings are read.
"""

from collections.abc import Mapping, Sequence

from dseg.settings.run import TRUE_MASKS, FeaturesSettings, HeadSettings, Settings

# What the table of an ablation is about: what its variants change, and what they may change along.
_FEATURES = frozenset(f"features.{key}" for key in FeaturesSettings.model_fields)
_DATA = ("synthesis", "prompts", "pairs", "masks", "filter")  # what is learnt, not how
ABLATIONS: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {
    "features": (frozenset({"features.source", "features.timesteps"}), frozenset()),
    "inversions": (frozenset({"features.inversion", "features.prompt"}), frozenset()),
    "blocks": (
        frozenset({"features.strides", "features.maps", "features.weights"}),
        _FEATURES,
    ),
    "heads": (
        frozenset(f"head.{key}" for key in HeadSettings.model_fields)
        - {f"head.{key}" for key in ("input", "seeds", *_DATA)},
        frozenset(),
    ),
    "masks": (
        frozenset({"head.masks", "head.filter"}),
        frozenset({"head.synthesis", "head.prompts"}),
    ),
    "syntheses": (frozenset({"head.synthesis"}), frozenset({"head.prompts"})),
    "pairs": (frozenset({"head.pairs"}), frozenset({"head.prompts"})),
}

# The set of the default variant and of those in no ablation's table, such as networks on pixels.
MAIN_SET = "main"

LATENTS = {"inversion": "inverted", "noise": "noised", "clean": "clean"}


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
        for name in ordered_variants(settings)
        if name == default or table_of(settings, name) == table
    ]
    if table == "pairs":
        names.sort(key=lambda name: settings.variant(name)[1].pairs or float("inf"))
    return names


def table_of(settings: Settings, variant: str) -> str | None:
    """The ablation that a variant belongs to: by what it changes, the first that allows it."""
    changes = changed_keys(settings, variant)
    for name, (own, also) in ABLATIONS.items():
        if changes & own and changes <= own | also:
            return name
    return None


def variant_sets(settings: Settings) -> dict[str, list[str]]:
    """The variants by the ablation that they belong to, as they are computed together.

    Each variant is in one set, the default one in `MAIN_SET`; no set is empty.
    """
    sets: dict[str, list[str]] = {name: [] for name in (MAIN_SET, *ABLATIONS)}
    for variant in settings.variants:
        sets[table_of(settings, variant) or MAIN_SET].append(variant)
    return {name: variants for name, variants in sets.items() if variants}


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
        if head.masks == TRUE_MASKS:
            return "true masks of renders"
        return f"{head.masks}, {'filtered' if head.filter else 'all'}"
    if table == "syntheses":
        own = settings.synthesised(head.synthesis)
        steps = "" if own.steps == settings.synthesis.steps else f", {own.steps} steps"
        return f"guidance {own.guidance:g}{steps}"
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
    return f"{LATENTS[features.source]}, t = {at}"


def ordered_variants(settings: Settings) -> list[str]:
    """The variants: the default, other features, fewer pairs, networks without features."""
    default = default_variant(settings)

    def rank(name: str) -> tuple[bool, bool, float, bool, int, str]:
        features, head = settings.variant(name)
        pairs, source = head.pairs or float("inf"), list(LATENTS).index(features.source)
        late = features.source != "clean" and features.timesteps != settings.features.timesteps
        return head.input == "rgb", name != default, -pairs, late, source, name

    return sorted(settings.variants, key=rank)


def _listed(noun: str, numbers: Sequence[int]) -> str:
    return f"{noun}{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"


def _value(head: HeadSettings, key: str) -> str:
    return f"{getattr(head, key.removeprefix('head.')):g}"
