"""What a garment lies on, as the word of a colour, and the captions that say so.

A garment is photographed on a floor, a bed, a wall: most of the border of a photograph is of that.
"""

from dseg.datasets.clothing.photographs import NOUNS
from dseg.method.ground import GROUNDS
from dseg.method.prompts import article_of

VOCABULARY = ("a", "an", "photo", "of", "on", *NOUNS.values(), *GROUNDS)
"""All words of all captions."""


def caption(noun: str, ground: str | None = None) -> str:
    """Say `a photo of a NOUN [on GROUND]`."""
    return f"a photo of {article_of(noun)} {noun}" + (f" on {ground}" if ground else "")
