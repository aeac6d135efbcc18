"""Stage 1a: class names x templates x contexts -> prompts, with the noun's place in the tokens.

The paper's class list and template are not known; both are settings here. The class name is put
in the template's slot {noun}; where its tokens end up is taken from the tokenizer's character
offsets, so that nouns of several tokens, and nouns whose word occurs a second time in the text,
are marked where the slot is.

Where {article} is used, it is "an" before a vowel, "a" before all else, with the usual exceptions
for how words sound: an hour, an heir; a unicycle, a European, a one-piece. Plurals get an article
too, and acronyms are taken as words: class names are meant to be nouns in the singular.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from string import Formatter
from typing import Any

import pandas as pd

from dseg.errors import DsegError

SLOTS = {"noun", "context", "article"}
_TAKES_AN = re.compile(
    r"(?!(?i:eu|ewe|once|one|u[bfks][aeiu]|uni(?![dmn])|ura|uro|ute|uti)|U[A-Z])(?i:[aeiou])"
    r"|(?i:heir|honest|honou?r|hour)"
)


@dataclass(frozen=True)
class Phrase:
    """A prompt's text, with the characters start:end where its noun stands.

    `context` are those of its context, 0:0 where it has none.
    """

    text: str
    start: int
    end: int
    context: tuple[int, int] = (0, 0)


def item_seed(run_seed: int, item_id: str) -> int:
    """Seed of one item, in [0, 2^63): it depends on nothing but the run's seed and the id."""
    digest = hashlib.sha256(f"{run_seed}:{item_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def build_prompts(
    tokenizer: Any,
    *,
    classes: Sequence[str],
    templates: Sequence[str],
    contexts: Sequence[str],
    count: int,
    seed: int,
) -> pd.DataFrame:
    """Build the prompts of a run.

    Classes take turns, so their counts differ by at most one; each class goes through all
    templates and contexts before it repeats one. An id is a class and a running number: a larger
    count or a further class adds prompts and changes none.

    Args:
        tokenizer: The pipeline's tokenizer.
        classes: Names to put in {noun}.
        templates: Texts with the slot {noun} once, and if wanted {context}, and {article} for
            the noun's "a" or "an" (see the module).
        contexts: Words to put in {context}.
        count: Number of prompts.
        seed: The run's seed.

    Returns:
        One row a prompt: id, class, template, context, text; token_start, token_end of the noun,
        context_start, context_end of the context (int32; positions in the padded sequence, the
        start token being 0; 0, 0 without a context); seed (int64, `item_seed`).

    Raises:
        DsegError: There are no prompts to build, two classes are alike, a template lacks {noun}
            or has an unknown slot, or a noun lies beyond the tokenizer's maximum length.
    """
    for name, values in (("classes", classes), ("templates", templates)):
        if not values:
            raise DsegError(f"prompts.{name}: empty, expected at least one")
    if count < 1:
        raise DsegError(f"prompts.count: {count}, expected at least 1")
    slugs = _slugs(classes)
    patterns = [
        (template, context)
        for template in templates
        for context in (_contexts(contexts) if "context" in _slots(template) else [""])
    ]
    rows = []
    spans: dict[str, tuple[int, int, int, int]] = {}  # many rows share a text
    for position in range(count):
        turn, which = divmod(position, len(classes))
        noun = classes[which]
        # Classes start at different patterns: a run with few prompts still sees most contexts.
        template, context = patterns[(turn + which) % len(patterns)]
        phrase = fill(template, noun, context)
        if phrase.text not in spans:
            spans[phrase.text] = (
                *noun_span(tokenizer, phrase),
                *context_span(tokenizer, phrase),
            )
        item_id = f"{slugs[which]}-{turn:05d}"
        row = (item_id, noun, template, context, phrase.text, *spans[phrase.text])
        rows.append((*row, item_seed(seed, item_id)))
    places = ["token_start", "token_end", "context_start", "context_end"]
    table = pd.DataFrame(
        rows, columns=["id", "class", "template", "context", "text", *places, "seed"]
    )
    return table.astype({**dict.fromkeys(places, "int32"), "seed": "int64"})


def fill(template: str, noun: str, context: str = "") -> Phrase:
    """Fill the slots of a template.

    Raises:
        DsegError: The template has no slot {noun}, several of them, or an unknown slot.
    """
    if _slots(template).count("noun") != 1:
        raise DsegError(f"prompts.templates: {template!r}, expected the slot {{noun}} once")
    if not noun.strip():
        raise DsegError("prompts.classes: an empty name, expected a noun")
    values = {"noun": noun, "context": context, "article": article_of(noun)}
    text, start, place = "", 0, (0, 0)
    for literal, slot, _, _ in Formatter().parse(template):
        text += literal
        if slot == "noun":
            start = len(text)
        if slot == "context":
            place = (len(text), len(text) + len(context))
        text += values[slot] if slot is not None else ""
    return Phrase(text, start, start + len(noun), place)


def captions(prompt: str, nouns: Sequence[str | None]) -> list[Phrase]:
    """What one prompt says of each of several images.

    Args:
        prompt: A text; {noun} stands for the image's class, {article} for "a" or "an" before it.
        nouns: The class of each image, or None where nothing says it.

    Returns:
        A phrase for each image. Its noun is the class, or else the word "object" of the prompt; it
        is empty where the prompt has neither.

    Raises:
        DsegError: The prompt has other slots, or names the class of an image that has none.
    """
    if "noun" not in _slots(prompt):
        start = prompt.find("object")
        end = start + len("object") if start >= 0 else 0
        return [Phrase(prompt, max(start, 0), end)] * len(nouns)
    if None in nouns:
        raise DsegError(
            f"prompt {prompt!r}: nothing says the class of some images, which {{noun}} stands for"
        )
    return [fill(prompt, str(noun)) for noun in nouns]


def article_of(noun: str) -> str:
    """ "a" or "an", by the first sound of a noun as far as its spelling tells."""
    return "an" if _TAKES_AN.match(noun.strip()) else "a"


def noun_span(tokenizer: Any, phrase: Phrase) -> tuple[int, int]:
    """First and last + 1 position of the noun's tokens in the padded sequence.

    Position 0 is the start token. A token that holds the noun's end and what follows counts as
    the noun's: CLIP has one for ").", where the noun is "kite (bird of prey)".

    Raises:
        DsegError: The tokenizer's maximum length cuts the noun off, or it has no tokens.
    """
    find = _span_by_offsets if getattr(tokenizer, "is_fast", False) else _span_by_prefix
    start, end = find(tokenizer, phrase)
    limit = tokenizer.model_max_length
    if end > limit - 1:  # the end token takes the last position
        raise DsegError(
            f"prompt {phrase.text!r}: its noun ends at token {end}, expected at most {limit - 1} "
            "for this text encoder; shorten the template or the class name"
        )
    if start == end:
        raise DsegError(f"prompt {phrase.text!r}: the tokenizer has no tokens for its noun")
    return start, end


def context_span(tokenizer: Any, phrase: Phrase) -> tuple[int, int]:
    """As `noun_span`, of the context; (0, 0) where the phrase has none."""
    start, end = phrase.context
    return noun_span(tokenizer, Phrase(phrase.text, start, end)) if end > start else (0, 0)


def _span_by_offsets(tokenizer: Any, phrase: Phrase) -> tuple[int, int]:
    offsets = tokenizer(phrase.text, return_offsets_mapping=True, verbose=False).offset_mapping
    inside = [
        position
        for position, (first, last) in enumerate(offsets)
        if first < phrase.end and last > phrase.start
    ]
    return (inside[0], inside[-1] + 1) if inside else (0, 0)


def _span_by_prefix(tokenizer: Any, phrase: Phrase) -> tuple[int, int]:
    """For tokenizers without offsets: count tokens before and up to the end of the noun."""

    def tokens(text: str) -> int:
        return len(tokenizer(text, add_special_tokens=False, verbose=False).input_ids)

    before = tokens(phrase.text[: phrase.start])
    return 1 + before, 1 + tokens(phrase.text[: phrase.end])


def _slots(template: str) -> list[str]:
    try:
        slots = [slot for _, slot, _, _ in Formatter().parse(template) if slot is not None]
    except ValueError as error:
        raise DsegError(f"prompts.templates: {template!r}: {error}") from error
    unknown = sorted(set(slots) - SLOTS)
    if unknown:
        raise DsegError(
            f"prompts.templates: {template!r} has the slot {{{unknown[0]}}}, expected only "
            "{noun}, {context} and {article}"
        )
    return slots


def _contexts(contexts: Sequence[str]) -> Sequence[str]:
    if not contexts:
        raise DsegError("prompts.contexts: empty, but a template has the slot {context}")
    return contexts


def _slugs(classes: Sequence[str]) -> list[str]:
    """Names fit for ids; two classes of one name would be two classes of one id."""
    owner: dict[str, str] = {}
    for name in classes:
        slug = re.sub(r"\W+", "-", name.lower()).strip("-")
        if slug in owner:
            raise DsegError(
                f"prompts.classes: {name!r} and {owner[slug]!r} are not distinct; rename or "
                "remove one of them"
            )
        owner[slug] = name
    return list(owner)
