"""`dseg export`: a head of a finished run -> a folder that segments images by itself."""

import shutil
import sys
from pathlib import Path

import dseg
from dseg.artifacts.heads import read_head
from dseg.base_model.pipeline import model_identity
from dseg.datasets.class_names import names_of
from dseg.errors import DsegError
from dseg.files import file_hash, write_atomically, write_text
from dseg.photos.card import head_card
from dseg.photos.exported import (
    CARD,
    CONFIG,
    FORMAT,
    HEAD,
    HeadConfig,
    Training,
    describe_base,
    write_config,
)
from dseg.reporting.summary import FILE, Summary
from dseg.settings.profiles import profile_params
from dseg.settings.reading import load_settings
from dseg.settings.run import WORLD, Settings
from dseg.settings.sections import sections, settings_hash
from dseg.stages import head as head_stage
from dseg.world.kinds import KIND_NAMES


def run(out: Path, profile: str = "embedded", variant: str = "inversion") -> None:
    """Export a head with its settings and its model card. Call it in the repository's root.

    Args:
        out: Folder to write, like models/dseg-head-photos; a head there before is replaced.
        profile: The run, which must be finished.
        variant: Which of its heads.

    Raises:
        DsegError: There is no such profile or variant, its head or its scores are not there, or
            the head was trained with other settings or another base model than there are now.
    """
    base, *overrides = profile_params(profile)
    settings = load_settings(base, overrides)
    export(
        settings,
        variant,
        Path("artifacts") / profile / "head" / variant / HEAD,
        Path("artifacts") / profile / FILE,
        out,
    )


def export(settings: Settings, variant: str, head: Path, summary: Path, out: Path) -> None:
    """As `run`, for files wherever they are.

    Args:
        settings: All settings of the run.
        variant: The head's name among them.
        head: head.safetensors.
        summary: Table of the stage summary.
        out: Folder to write.

    Raises:
        DsegError: As `run`.
    """
    features, head_settings = settings.variant(variant)
    _, architecture, about = read_head(head)
    inversion = settings.inverted(features.inversion)
    own = settings.model_copy(
        update={"features": features, "head": head_settings, "inversion": inversion}
    )
    now = settings_hash(sections(own, *head_stage.SECTIONS))
    if about.settings_hash != now or about.pairs is None or about.parameters is None:
        raise DsegError(
            f"{head}: trained with other settings than those of profile {settings.profile}, "
            f"variant {variant}, are now: run make reproduce PROFILE={settings.profile} first"
        )
    model = settings.model
    identity = model_identity(model.path, revision=model.revision, dtype=model.dtype)
    if about.model is not None and about.model.identity != identity:
        raise DsegError(
            f"{head}: trained on features of other files than {model.path} has now: "
            f"run make reproduce PROFILE={settings.profile} first"
        )
    config = HeadConfig(
        format=FORMAT,
        dseg=dseg.__version__,
        head=file_hash(head),
        size=architecture.size,
        threshold=settings.evaluation.threshold,
        seed=settings.seed,
        base_model=describe_base(model.path, model.revision, model.dtype, identity),
        training=Training(
            profile=settings.profile,
            variant=variant,
            settings_hash=now,
            classes=names_of(settings.prompts.classes),
            pairs=about.pairs,
            parameters=about.parameters,
            embedded=_embedded(settings),
            protocol=settings.evaluation.protocol,
            scores=_scores(settings, summary, variant),
        ),
        inversion=inversion,
        features=features,
        attention=settings.attention,
        recording=settings.recording,
        attentioncut=settings.attentioncut,
    )
    # The weights first: until config.json names them, the folder is refused as a whole.
    write_atomically(out / HEAD, lambda temporary: shutil.copyfile(head, temporary))
    write_config(out, config)
    card = head_card(
        out.resolve().name, config, architecture.input == "features", head.stat().st_size
    )
    write_text(out / CARD, card)
    print(f"{out}: {HEAD}, {CONFIG}, {CARD}; segment with --model {out}", file=sys.stderr)


def _embedded(settings: Settings) -> bool:
    """Whether the run knows the embedded world only: in what it draws and in what it is tested."""
    drawn = set(names_of(settings.prompts.classes)) <= set(KIND_NAMES)
    return drawn and all(
        benchmark.root.startswith(WORLD) for benchmark in settings.benchmarks.values()
    )


def _scores(settings: Settings, path: Path, variant: str) -> dict[str, dict[str, float]]:
    """The scores of a head in percent, by benchmark, in the order of the settings."""
    again = f"run make reproduce PROFILE={settings.profile} first"
    if not path.is_file():
        raise DsegError(f"{path}: no scores of the run: {again}")
    found = Summary.read(path).of_variant(variant)
    if not found:
        raise DsegError(f"{path}: no scores of the variant {variant}: {again}")
    return {name: found[name] for name in settings.benchmarks if name in found}
