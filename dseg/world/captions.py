"""Captions of the embedded world: every word is one token of its vocabulary."""

from __future__ import annotations

from dseg.world.backgrounds import SHIFT_CONTEXTS, TRAIN_CONTEXTS
from dseg.world.kinds import KIND_NAMES

GENERIC = "object"
VOCABULARY = ("a", "an", "photo", "of", "on", GENERIC, *KIND_NAMES)
VOCABULARY += TRAIN_CONTEXTS + SHIFT_CONTEXTS


def caption(noun: str, context: str | None = None) -> str:
    """Say `a photo of a NOUN [on CONTEXT]`; the article is "an" for the generic noun alone."""
    article = "an" if noun == GENERIC else "a"
    return f"a photo of {article} {noun}" + (f" on {context}" if context else "")
