"""What the stages on latents share: classes of synthetic images, and embeddings of captions."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from torch import Tensor

from dseg.errors import DsegError
from dseg.pipeline import embed
from dseg.prompts import Phrase

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline


def read_nouns(prompts: Path, ids: Sequence[str]) -> list[str]:
    """The class of each synthetic image.

    Args:
        prompts: prompts.parquet.
        ids: Ids of the images.

    Raises:
        DsegError: The file is not usable, or lacks an image.
    """
    try:
        table = pd.read_parquet(prompts, columns=["id", "class"]).set_index("id")["class"]
        return [str(table.loc[item]) for item in ids]
    except (OSError, ValueError, KeyError) as error:
        raise DsegError(
            f"{prompts}: no readable table with the classes of all images; run the stage prompts"
        ) from error


def caption_embeddings(pipe: "StableDiffusionPipeline", said: Sequence[Phrase]) -> Tensor:
    """Text embeddings (B, L, D) of the captions of B images; each text is encoded once."""
    texts = list(dict.fromkeys(phrase.text for phrase in said))
    return embed(pipe, texts)[[texts.index(phrase.text) for phrase in said]]
