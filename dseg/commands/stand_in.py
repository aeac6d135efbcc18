"""The stand-in for Stable Diffusion on disk, made once for a user."""

import os
import shutil
import uuid
from pathlib import Path

import torch

from dseg.base_model.stand_in import build_stand_in
from dseg.files import system_errors

MODEL_INDEX = "model_index.json"


def is_family(path: str) -> bool:
    """Whether a hub id is of a model that the stand-in has the architecture of."""
    return Path(path).name.lower().startswith(("stable-diffusion-v1-", "stable-diffusion-1."))


def default_cache() -> Path:
    """Where programs keep what they can make again, for this user."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "dseg"


def stand_in_folder(cache: Path | None = None) -> Path:
    """Folder of Stable Diffusion 1.5 with random weights, float16; written if it is not there.

    Args:
        cache: Where to keep it, 2.1 GB; None takes `default_cache`.
    """
    folder = (cache or default_cache()) / "stable-diffusion-1.5-random"
    if not (folder / MODEL_INDEX).is_file():
        temporary = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.tmp")
        try:
            with system_errors():
                build_stand_in(torch.float16).save_pretrained(temporary)
            temporary.replace(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return folder
