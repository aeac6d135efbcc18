"""The files of a base model: which kind of pipeline a folder holds, and which weights are read.

Everything is told from configurations and file names, before any weights are read or, for a model
on the hub, fetched. Nothing here imports torch.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dseg.base_model.configuration import CONFIGURATIONS
from dseg.errors import DsegError
from dseg.settings.typed_json import read_json, read_record

INDEX = "model_index.json"
PARTS = ("scheduler", "text_encoder", "tokenizer", "unet", "vae")
WEIGHTS = ("text_encoder", "unet", "vae")
AGAIN = "fetch the pipeline anew"
PREDICTION_TYPES = ("epsilon", "v_prediction", "sample")

# diffusers' and transformers' names: variant and shards are optional, as in
# diffusion_pytorch_model.fp16-00001-of-00002.safetensors
_SAFETENSORS = re.compile(
    r"(?:diffusion_pytorch_model|model)(?:\.(?P<variant>\w+))?(?:-\d{5}-of-\d{5})?\.safetensors"
)
_SETTINGS = (".json", ".txt")  # configurations, and the vocabulary of the tokenizer
# What a U-Net is conditioned on besides time and text, by the settings that say so.
_CONDITIONS = (
    "addition_embed_type",
    "class_embed_type",
    "encoder_hid_dim_type",
    "num_class_embeds",
    "time_cond_proj_dim",
)


@dataclass(frozen=True)
class Weights:
    """The weights of a pipeline.

    Attributes:
        variant: Their variant, such as "fp16"; None for those without one.
        files: Their paths relative to the pipeline, sorted.
    """

    variant: str | None
    files: tuple[str, ...]


def read_index(folder: Path) -> dict[str, Any]:
    """The pipeline's class and those of its parts, by name.

    Raises:
        DsegError: The folder has no readable index: it is no pipeline.
    """
    problem = f"{folder}: not a diffusers pipeline folder: expected a readable {INDEX} in it"
    try:
        index = read_json(folder / INDEX, "")
    except DsegError as error:
        raise DsegError(problem) from error
    if not isinstance(index, dict):
        raise DsegError(problem)
    for part in (*PARTS, "text_encoder_2"):
        entry = index.get(part, [None, None])
        if not (
            isinstance(entry, list)
            and len(entry) == 2
            and all(name is None or isinstance(name, str) for name in entry)
        ):
            raise DsegError(f"{problem}, with a library and a class for {part}")
    return index


def check_kind(folder: Path, shown: str) -> None:
    """Look whether a pipeline is text-to-image with one text encoder and a noise schedule.

    Args:
        folder: Its folder; weights need not be there.
        shown: Its name in messages.

    Raises:
        DsegError: It is of another kind, or a configuration is missing.
    """
    index = read_index(folder)
    missing = [part for part in PARTS if not all(index.get(part, [None]))]
    if missing or "text_encoder_2" in index:
        lack = f"no {missing[0]}" if missing else "two text encoders"
        raise _wrong_kind(shown, index, f"has {lack}", f"a pipeline of {', '.join(PARTS)}")
    unet = read_configuration(folder, "unet")
    vae = read_configuration(folder, "vae")
    scheduler = read_configuration(folder, "scheduler")
    taken, given = unet.get("in_channels", 4), vae.get("latent_channels", 4)
    if taken != given:
        raise _wrong_kind(
            shown,
            index,
            f"has a U-Net that takes {taken} channels and an autoencoder that gives {given}",
            "plain text-to-image, not inpainting, editing, depth or upscaling",
        )
    conditions = [key for key in _CONDITIONS if unet.get(key)]
    if conditions:
        raise _wrong_kind(
            shown,
            index,
            f"has a U-Net with {conditions[0]} {unet[conditions[0]]!r}",
            "one that is told the time and the text and nothing else",
        )
    if "beta_schedule" not in scheduler and "beta_start" not in scheduler:
        raise _wrong_kind(
            shown,
            index,
            f"has a {index['scheduler'][1]} without betas",
            "a noise schedule that DDIM can follow",
        )
    prediction = scheduler.get("prediction_type", "epsilon")
    if prediction not in PREDICTION_TYPES:
        raise _wrong_kind(
            shown,
            index,
            f"predicts {prediction!r}",
            f"one of {', '.join(PREDICTION_TYPES)}",
        )


def read_configuration(folder: Path, part: str) -> dict[str, Any]:
    """The configuration of a part of a pipeline, of which the numbers that count are bounded.

    Raises:
        DsegError: It is not there or not readable, or a number in it is out of bounds.
    """
    file = folder / part / ("scheduler_config.json" if part == "scheduler" else "config.json")
    read_record(file, CONFIGURATIONS[part], AGAIN)
    return dict(read_json(file, AGAIN))


def files_of(folder: Path) -> list[str]:
    """Paths of the files of a pipeline's parts, relative to it; hidden ones are left out."""
    # A snapshot of the hub's cache is a folder of links to its files.
    found = (file for part in PARTS for file in (folder / part).rglob("*") if file.is_file())
    names = (file.relative_to(folder) for file in found)
    return sorted(name.as_posix() for name in names if not _hidden(name))


def choose_weights(files: Iterable[str], dtype: str, shown: str) -> Weights:
    """Choose among the weights of a pipeline: safetensors of one variant for all its parts.

    Half-precision weights ("fp16") are taken to compute in float16, since they are half to
    fetch and to read and, in published models, the others cast. For other types they are taken
    only where there are none in full precision.

    Args:
        files: Paths relative to the pipeline.
        dtype: Name of the type to compute in.
        shown: The pipeline's name in messages.

    Raises:
        DsegError: A part has no safetensors weights of a variant that all parts have.
    """
    files = list(files)
    variants: dict[str, dict[str | None, list[str]]] = {part: {} for part in WEIGHTS}
    for name in files:
        part, _, file = name.partition("/")
        match = _SAFETENSORS.fullmatch(file)
        if part in variants and match:
            variants[part].setdefault(match["variant"], []).append(name)
    preferred: tuple[str | None, ...] = ("fp16", None) if dtype == "float16" else (None, "fp16")
    for variant in preferred:
        if all(variant in found for found in variants.values()):
            chosen = (name for found in variants.values() for name in found[variant])
            return Weights(variant, tuple(sorted(chosen)))
    for part, found in variants.items():
        if not {None, "fp16"} & found.keys():
            others = sorted(
                name for name in files if name.startswith(f"{part}/") and _is_weights(name)
            )
            there = f", only {others[0].partition('/')[2]}" if others else ""
            raise DsegError(
                f"{shown}/{part}: no safetensors weights{there}; pickled weights are not read: "
                "take a revision that has safetensors, or save the pipeline again with "
                "save_pretrained(..., safe_serialization=True)"
            )
    raise DsegError(
        f"{shown}: some parts have safetensors weights in half precision only and others in full "
        "precision only; save the pipeline again with save_pretrained()"
    )


def wanted_files(files: Iterable[str], weights: Weights | None) -> list[str]:
    """The files that are read of a pipeline: index, configurations, vocabulary and weights.

    Args:
        files: Paths relative to the pipeline.
        weights: The weights among them; None for none.
    """
    heavy = weights.files if weights else ()
    return [
        name
        for name in files
        if name == INDEX
        or name in heavy
        or (name.partition("/")[0] in PARTS and Path(name).suffix in _SETTINGS)
    ]


def identity_of(folder: Path, weights: Weights) -> str:
    """Hexadecimal sha256 of the sorted lines of ``sha256sum`` over the files that are read.

    So neither a model card or a safety checker beside them counts, nor weights of another variant
    or format, nor where the folder is: a snapshot of the hub and a copy of it are the same.
    """
    lines = []
    for name in wanted_files([INDEX, *files_of(folder)], weights):
        with (folder / name).open("rb") as stream:
            lines.append((name, hashlib.file_digest(stream, "sha256").hexdigest()))
    text = "".join(f"{digest}  {name}\n" for name, digest in sorted(lines))
    return hashlib.sha256(text.encode()).hexdigest()


def _is_weights(name: str) -> bool:
    return Path(name).suffix in (".bin", ".ckpt", ".h5", ".msgpack", ".onnx", ".pt", ".safetensors")


def _hidden(name: Path) -> bool:
    return any(part.startswith(".") for part in name.parts)


def _wrong_kind(shown: str, index: dict[str, Any], what: str, expected: str) -> DsegError:
    kind = index.get("_class_name", "of unknown class")
    return DsegError(
        f"{shown}: wrong kind of pipeline: {kind} {what}; expected one of the Stable Diffusion "
        f"layout: {expected}"
    )
