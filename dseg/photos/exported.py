"""The folder of an exported head: what it must hold to segment images by itself.

    head.safetensors   the weights (`dseg.artifacts.heads`)
    config.json        all else that is needed, as typed here
    README.md          its model card

The base model is not in it: config.json says where it is, and by its identity which it must be.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from dseg.base_model.pipeline import model_identity
from dseg.errors import DsegError
from dseg.files import write_text
from dseg.settings.fields import FROM_LIST, Count, Fraction, Section, Slug, Text, Texts
from dseg.settings.masks import AttentionCutSettings, AttentionSettings, RecordingSettings
from dseg.settings.run import FeaturesSettings, InversionSettings
from dseg.settings.typed_json import read_record

FORMAT: Literal[1] = 1
HEAD, CONFIG, CARD = "head.safetensors", "config.json", "README.md"
# The folder with models/, if the package runs from a checkout of its repository.
CHECKOUT = Path(__file__).resolve().parents[2]
SHIPPED = CHECKOUT / "models" / "dseg-head-photos"

# Far above any use: an image is stretched to it before anything else is looked at.
Side = Annotated[int, Field(ge=1, le=2**13)]


class BaseModel(Section):
    folder: Text | None
    """Folder of the pipeline, relative to the repository if it lies in it; null for a hub id."""
    hub: Text | None
    """Id on the hub; null for a folder."""
    revision: Text | None
    """Commit of the hub id."""
    identity: Text
    """Of its files: `dseg.base_model.pipeline.model_identity`."""
    dtype: Literal["float32", "float16", "bfloat16"]
    """Type its networks compute in."""


class Training(Section):
    profile: Slug
    """The run that it comes from."""
    variant: Slug
    """Its name in that run."""
    settings_hash: Text
    """Of the settings that it was trained with."""
    classes: Texts
    """Nouns of the images that it was trained on."""
    pairs: Count
    """Synthetic pairs it was trained on."""
    parameters: Count
    """Trained parameters."""
    embedded: bool
    """Whether all its images, in training and in evaluation, are of the embedded world."""
    protocol: Text
    """How its scores were computed."""
    scores: Mapping[Slug, Mapping[str, float]]
    """Scores by benchmark and metric, in percent."""


class HeadConfig(Section):
    """What config.json holds."""

    format: Literal[1]
    """Version of this layout."""
    dseg: Text
    """Version of the package that wrote it."""
    head: Text
    """SHA-256 of head.safetensors."""
    size: Annotated[tuple[Side, Side], FROM_LIST]
    """Height and width of the images that it is given."""
    threshold: Fraction
    """Soft masks above this are foreground."""
    seed: int
    """Run seed, from which the noise of each image follows."""
    base_model: BaseModel
    training: Training
    inversion: InversionSettings
    features: FeaturesSettings
    attention: AttentionSettings
    """This and the next two: AttentionCut without the head."""
    recording: RecordingSettings
    attentioncut: AttentionCutSettings


def write_config(folder: Path, config: HeadConfig) -> None:
    """Write config.json atomically."""
    text = json.dumps(config.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"
    write_text(folder / CONFIG, text)


def read_config(folder: str | os.PathLike[str]) -> HeadConfig:
    """The config.json of an exported head.

    Raises:
        DsegError: There is none, it is damaged, or not of this version of the package.
    """
    path = Path(folder) / CONFIG
    if not path.is_file():
        hint = (
            "the shipped head lies in models/ of the repository; write it with `dseg export`, or "
            "name another folder"
            if Path(folder) == SHIPPED
            else "expected a folder that `dseg export` wrote"
        )
        raise DsegError(f"{path}: no such file; {hint}")
    return read_record(path, HeadConfig, "export the head again with this version")


def describe_base(path: str, revision: str | None, dtype: str, identity: str) -> BaseModel:
    """How config.json names the base model of the settings' section `model`."""
    folder = Path(path).resolve()
    if not folder.is_dir():
        return _base(hub=path, revision=revision, dtype=dtype, identity=identity)
    if folder.is_relative_to(CHECKOUT):
        folder = folder.relative_to(CHECKOUT)
    return _base(folder=folder.as_posix(), dtype=dtype, identity=identity)


def find_base(base: BaseModel, folder: Path) -> tuple[str, str | None]:
    """Path or hub id of the base model of an exported head, and its revision.

    A relative folder is looked for in the repository, then beside the head's folder.

    Raises:
        DsegError: There is no such folder, or its files are others than those of the training.
    """
    if base.hub is not None:
        place = base.hub
    else:
        assert base.folder is not None  # one of the two is written
        candidates = [CHECKOUT / base.folder, folder.parent / Path(base.folder).name]
        found = [each for each in candidates if each.is_dir()]
        if not found:
            raise DsegError(
                f"{folder / CONFIG}: its base model {base.folder} is neither in {CHECKOUT} nor in "
                f"{folder.parent}: put the folder {Path(base.folder).name} beside the head's"
            )
        place = str(found[0])
    if model_identity(place, revision=base.revision, dtype=base.dtype) != base.identity:
        raise DsegError(
            f"{folder / CONFIG}: trained on features of another base model than {place}, whose "
            "files have changed since: bring them back, or train and export the head again"
        )
    return place, base.revision


def _base(**given: Any) -> BaseModel:
    return BaseModel(**{"folder": None, "hub": None, "revision": None} | given)
