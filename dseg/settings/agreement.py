"""What settings must agree on: each may have the value it has, but not together."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from dseg.settings.masks import RecordingSettings
from dseg.settings.run import (
    ATTENTIONCUT,
    ORACLE_MASKS,
    RENDERS,
    TRUE_MASKS,
    WORLD,
    FeaturesSettings,
    HeadSettings,
    Settings,
)

Key = tuple[str | int, ...]


def contradictions(settings: Settings) -> Iterator[tuple[Key, str]]:
    """What each section allows, but not together."""
    rendered: dict[str, int] = {split: count for split, count in settings.world.images.items()}
    prompts, evaluation = settings.prompts, settings.evaluation
    for template in prompts.templates:
        rest = re.sub(r"\{(noun|context|article)\}", "", template)
        if template.count("{noun}") != 1 or "{" in rest or "}" in rest:
            yield (
                ("prompts", "templates"),
                "expected {noun} once, no braces but {noun}, {context} and {article}; got "
                f"{template!r}",
            )
        if "{context}" in template and not prompts.contexts:
            yield ("prompts", "contexts"), f"expected at least one item for {template!r}"
    yield from _mask_contradictions(settings)
    yield from _name_contradictions(settings)
    recordings = [("recordings", *each) for each in settings.recordings.items()]
    recordings += [("mask_recordings", *each) for each in settings.mask_recordings.items()]
    for group, name, changes in recordings:
        own: Key = (group, name)
        recording = settings.recorded(name)
        if recording.latents == "inversion":
            why = "latents: inversion"
            yield from _latents(settings, recording, ("recording",), changes, own, why)
    for name, changes in settings.variants.items():
        features, head = settings.variant(name)
        own = ("variants", name)
        if head.input == "features":
            changed, where = changes.get("features", {}), (*own, "features")
            if features.source == "inversion":
                read = features
            else:  # made from the encoded image: its own timesteps need not be kept
                read = features.model_copy(update={"timesteps": ()})
            why = f"source: {features.source}"
            yield from _latents(settings, read, ("features",), changed, where, why)
            if "attention" in features.maps and not re.search(
                r"{noun}|\bobject\b", features.prompt
            ):
                yield (
                    (*(own if "prompt" in changed else ()), "features", "prompt"),
                    "expected {noun} or the word object, whose attention is read with maps: "
                    f"attention; got {features.prompt!r}",
                )
        yield from _pair_contradictions(settings, head, changes.get("head", {}), own)
    for name, benchmark in settings.benchmarks.items():
        if not benchmark.root.startswith(WORLD):
            continue
        split = benchmark.root.removeprefix(WORLD)
        if split not in rendered:
            yield (
                ("benchmarks", name, "root"),
                f"expected world/ and one of world.images ({', '.join(rendered)}), got "
                f"{benchmark.root!r}",
            )
        elif benchmark.images != rendered[split]:
            yield (
                ("benchmarks", name, "images"),
                f"expected world.images.{split} = {rendered[split]}, got {benchmark.images}",
            )
    if evaluation.protocol not in evaluation.protocols:
        yield (
            ("evaluation", "protocol"),
            f"expected one of evaluation.protocols ({', '.join(evaluation.protocols)}), got "
            f"{evaluation.protocol!r}",
        )
    if evaluation.mode not in evaluation.modes:
        yield (
            ("evaluation", "mode"),
            f"expected one of evaluation.modes ({', '.join(evaluation.modes)}), got "
            f"{evaluation.mode!r}",
        )
    known = [*settings.recordings, *settings.image_methods, *settings.variants]
    for name in evaluation.postprocessed or ():
        if name not in known:
            yield (
                ("evaluation", "postprocessed"),
                f"expected some of recordings, image_methods and variants ({', '.join(known)}), "
                f"got {name!r}",
            )
    if "none" not in evaluation.postprocessing:
        yield (
            ("evaluation", "postprocessing"),
            "expected 'none' among them, which the main tables show, got "
            f"{list(evaluation.postprocessing)}",
        )


def _name_contradictions(settings: Settings) -> Iterator[tuple[Key, str]]:
    """Names that would be of one folder of artifacts, or of one row of a table."""
    for own, others in (
        ("benchmarks", "syntheses"),
        ("variants", "recordings"),
        ("image_methods", "recordings"),
        ("image_methods", "variants"),
        ("variants", "mask_recordings"),
        ("mask_recordings", "recordings"),
    ):
        for name in getattr(settings, own):
            if name in getattr(settings, others):
                yield (own, name), f"expected another name: {others} has it already"
    if settings.head.synthesis == RENDERS:
        yield (
            ("head", "synthesis"),
            f"expected another of syntheses: {RENDERS} have no attention that masks are cut by",
        )


def _pair_contradictions(
    settings: Settings, head: HeadSettings, changes: Mapping[str, Any], own: Key
) -> Iterator[tuple[Key, str]]:
    """What a head asks for of the images and masks it learns.

    Args:
        settings: The whole settings.
        head: The section head with the changes of one variant.
        changes: What the variant changes of it.
        own: The variant.
    """

    def where(key: str) -> Key:
        return (*(own if key in changes else ()), "head", key)

    if head.synthesis not in settings.syntheses:
        known = ", ".join(settings.syntheses)
        yield where("synthesis"), f"expected one of syntheses ({known}), got {head.synthesis!r}"
        return
    masks = (ATTENTIONCUT, ORACLE_MASKS, *settings.mask_methods)
    known = f"{ATTENTIONCUT}, {ORACLE_MASKS} or another of mask_methods"
    if head.synthesis == RENDERS:
        masks, known = (TRUE_MASKS,), f"{TRUE_MASKS}, all that renders have"
    if head.masks not in masks:
        yield where("masks"), f"expected {known}, got {head.masks!r}"
    images = settings.images_of(head.synthesis)
    for key, value in (("prompts", head.prompts), ("pairs", head.pairs)):
        if value is not None and value > images:
            yield where(key), f"expected at most the {images} images that there are, got {value}"
    if head.pairs is not None and head.prompts is not None and head.pairs > head.prompts:
        yield where("pairs"), f"expected at most head.prompts = {head.prompts}, got {head.pairs}"


def _mask_contradictions(settings: Settings) -> Iterator[tuple[Key, str]]:
    """What mask methods ask for, and no recording has."""
    strides = settings.attention.cross_strides
    if not set(settings.attentioncut.cross_strides) <= set(strides):
        yield (
            ("attentioncut", "cross_strides"),
            f"expected some of attention.cross_strides {list(strides)}, got "
            f"{list(settings.attentioncut.cross_strides)}",
        )
    known = [*settings.recordings, *settings.mask_recordings]
    yield from _oracle_contradictions(settings)
    for name in {ORACLE_MASKS, TRUE_MASKS} & settings.mask_methods.keys():
        yield ("mask_methods", name), f"expected another name: {name} masks are no mask method's"
    for name, method in settings.mask_methods.items():
        if method.recording not in known:
            yield (
                ("mask_methods", name, "recording"),
                f"expected one of recordings or mask_recordings ({', '.join(known)}), got "
                f"{method.recording!r}",
            )
        own = method.cross_strides or method.attentioncut.get("cross_strides", ())
        if not set(own) <= set(strides):
            yield (
                ("mask_methods", name, "cross_strides"),
                f"expected some of attention.cross_strides {list(strides)}, got {list(own)}",
            )


def _oracle_contradictions(settings: Settings) -> Iterator[tuple[Key, str]]:
    """What the oracle segmenter is asked for, and cannot give."""
    scored, main = settings.instruments.scored, settings.head.synthesis
    count = settings.images_of(main) if main in settings.syntheses else None
    if scored is not None and count is not None and scored > count:
        yield (
            ("instruments", "scored"),
            f"expected at most the {count} images of synthesis {main}, got {scored}",
        )
    learnt = [name for name in settings.variants if settings.variant(name)[1].masks == ORACLE_MASKS]
    if (learnt or scored is not None) and "val" not in settings.world.images:
        asking = f"head.masks: {ORACLE_MASKS}" if learnt else "instruments.scored"
        yield (
            ("world", "images"),
            f"expected val among them, on which the oracle that {asking} asks for is measured",
        )


def _latents(
    settings: Settings,
    reader: RecordingSettings | FeaturesSettings,
    section: Key,
    changes: Mapping[str, Any],
    own: Key,
    why: str,
) -> Iterator[tuple[Key, str]]:
    """Whether the latents that a recording or a variant reads are kept.

    Args:
        settings: The whole settings.
        reader: Its settings.
        section: Where they are said unless it changes them.
        changes: What it changes.
        own: Where its changes are said.
        why: Why it reads latents.
    """
    if reader.inversion not in settings.inversions:
        yield (
            (*(own if "inversion" in changes else section), "inversion"),
            f"expected one of inversions ({', '.join(settings.inversions)}), got "
            f"{reader.inversion!r}",
        )
        return
    kept = settings.inverted(reader.inversion).timesteps
    if not set(reader.timesteps) <= set(kept):
        yield (
            (*(own if "timesteps" in changes else section), "timesteps"),
            f"expected some of inversion.timesteps {list(kept)} with {why}, got "
            f"{list(reader.timesteps)}",
        )
