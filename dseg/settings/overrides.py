"""The jobs of a stage that is run once for each of several things, and the settings of each."""

from collections.abc import Collection, Iterator, Sequence
from itertools import product
from typing import Any

from dseg.settings.run import Settings


def jobs(settings: Settings, wildcards: Sequence[str]) -> Iterator[dict[str, str]]:
    """Every combination of what jobs may differ in.

    Args:
        settings: Of the run.
        wildcards: Some of synthesis, recording, variant, inversion, mask_method, image_method and
            benchmark.

    Yields:
        The name of each, by wildcard.
    """
    names: dict[str, Collection[str]] = {
        "synthesis": settings.syntheses.keys(),
        "recording": [*settings.recordings, *settings.mask_recordings],
        "variant": settings.variants.keys(),
        "inversion": settings.inversions.keys(),
        "mask_method": settings.mask_methods.keys(),
        "image_method": settings.image_methods.keys(),
        "benchmark": settings.benchmarks.keys(),
    }
    for chosen in product(*(names[wildcard] for wildcard in wildcards)):
        yield dict(zip(wildcards, chosen, strict=True))


def job_settings(
    settings: Settings,
    *,
    synthesis: str | None = None,
    recording: str | None = None,
    variant: str | None = None,
    inversion: str | None = None,
    mask_method: str | None = None,
    image_method: str | None = None,
    benchmark: str | None = None,
) -> Settings:
    """The settings of one job: overrides merged in, no benchmark or mask method but its own.

    A recording and a variant bring the inversion that they name.

    Raises:
        DsegError: There is none of a name.
    """
    changes: dict[str, Any] = {}
    if synthesis is not None:
        changes["synthesis"] = settings.synthesised(synthesis)
    if recording is not None:
        changes["recording"] = settings.recorded(recording)
        inversion = changes["recording"].inversion
    if variant is not None:
        changes["features"], changes["head"] = settings.variant(variant)
        inversion = changes["features"].inversion
    if inversion is not None:
        changes["inversion"] = settings.inverted(inversion)
    if mask_method is not None:
        changes["mask_methods"] = {mask_method: settings.mask_method(mask_method)[0]}
    if image_method is not None:
        changes["image_methods"] = {image_method: settings.image_method(image_method)}
    if benchmark is not None:
        changes["benchmarks"] = {benchmark: settings.benchmark(benchmark)}
    return settings.model_copy(update=changes)
