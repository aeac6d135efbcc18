"""Prompts: counts, ids, seeds and the place of the noun among the tokens."""

import gzip
import hashlib
import json
from itertools import product
from pathlib import Path

import pytest
from tiny_pipeline import build_tokenizer
from transformers import CLIPTokenizer, CLIPTokenizerFast

from dseg.errors import DsegError
from dseg.method.prompts import (
    Phrase,
    _span_by_prefix,
    article_of,
    build_prompts,
    fill,
    item_seed,
    noun_span,
)

TOKENIZER = build_tokenizer()
CHOICE = {
    "classes": ("moon", "fish", "sea lion"),
    "templates": ("a photo of a {noun} on {context}", "the {noun}"),
    "contexts": ("wood", "sand", "sky"),
    "count": 24,
    "seed": 3,
}


def tokens_of(tokenizer, text: str, span: tuple[int, int]) -> str:
    """What the tokens of a span spell, without spaces."""
    ids = tokenizer(text, padding="max_length", truncation=True).input_ids[slice(*span)]
    return "".join(tokenizer.convert_ids_to_tokens(ids)).replace("</w>", "")


def spells(tokenizer, phrase: Phrase, span: tuple[int, int]) -> bool:
    """Whether the tokens are the noun's, but for punctuation that shares a token with its end."""
    noun = phrase.text[phrase.start : phrase.end].lower().replace(" ", "")
    spelt = tokens_of(tokenizer, phrase.text, span)
    return spelt == noun or (not noun[-1].isalnum() and spelt == noun + phrase.text[phrase.end])


@pytest.fixture(scope="module")
def clip(shared: Path) -> CLIPTokenizer:
    """CLIP's own tokenizer, from the vocabulary file of its first release."""
    lines = gzip.open(shared / "data/clip_bpe/bpe_simple_vocab_16e6.txt.gz", "rt").read()
    merges = [tuple(line.split()) for line in lines.split("\n")[1 : 49152 - 256 - 2 + 1]]
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = [chr(byte) for byte in printable] + [chr(256 + n) for n in range(len(others))]
    vocabulary = [*letters, *(letter + "</w>" for letter in letters), *map("".join, merges)]
    vocabulary += ["<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(
        vocab={token: i for i, token in enumerate(vocabulary)}, merges=merges, model_max_length=77
    )


def test_classes_take_turns_and_see_every_phrase() -> None:
    table = build_prompts(TOKENIZER, **CHOICE)
    assert table["class"].value_counts().to_dict() == {"moon": 8, "fish": 8, "sea lion": 8}
    expected = set(product(["a photo of a {noun} on {context}"], CHOICE["contexts"]))
    expected.add(("the {noun}", ""))
    for _, rows in table.groupby("class"):
        assert set(zip(rows["template"], rows["context"], strict=True)) == expected
    assert table["id"].is_unique
    first = table.iloc[0]
    assert (first["id"], first["text"]) == ("moon-00000", "a photo of a moon on wood")


def test_more_prompts_or_classes_change_no_item() -> None:
    table = build_prompts(TOKENIZER, **CHOICE).set_index("id")
    longer = build_prompts(TOKENIZER, **CHOICE | {"count": 50}).set_index("id")
    assert longer.loc[table.index].equals(table)
    wider = build_prompts(
        TOKENIZER, **CHOICE | {"count": 32, "classes": (*CHOICE["classes"], "key")}
    ).set_index("id")
    assert wider.loc[table.index].equals(table)


def test_seed_is_a_hash_of_run_seed_and_id() -> None:
    table = build_prompts(TOKENIZER, **CHOICE)
    digest = hashlib.sha256(b"3:moon-00000").hexdigest()
    assert table["seed"][0] == int(digest[:16], 16) // 2 == item_seed(3, "moon-00000")
    assert table["seed"].is_unique and (table["seed"] >= 0).all()
    assert item_seed(4, "moon-00000") != item_seed(3, "moon-00000")


def test_span_marks_the_slot_not_the_first_match() -> None:
    phrase = fill("fish photo of a {noun} on {context}", "fish", "fish")
    assert phrase.text == "fish photo of a fish on fish"
    assert noun_span(TOKENIZER, phrase) == (5, 6)
    # a word within another word is not the noun either
    phrase = fill("gearkey on {noun}", "key")
    start, end = noun_span(TOKENIZER, phrase)
    ids = TOKENIZER(phrase.text).input_ids
    assert end == start + 1 == len(ids) - 1


def test_span_of_several_tokens() -> None:
    table = build_prompts(TOKENIZER, **CHOICE | {"templates": ("a {noun} on sand",)})
    row = table[table["class"] == "sea lion"].iloc[0]
    span = (row["token_start"], row["token_end"])
    assert span[1] - span[0] > 2
    assert tokens_of(TOKENIZER, row["text"], span) == "sealion"


def test_spans_of_all_imagenet_names_spell_the_names(clip: CLIPTokenizer, shared: Path) -> None:
    assert clip("a photo of a cat").input_ids == [49406, 320, 1125, 539, 320, 2368, 49407]
    names = json.loads((shared / "data/lists/clip_imagenet_classes.json").read_text())
    assert len(names) == 1000
    longest = 0
    for name in names:
        # the name stands before the slot too
        phrase = fill(f"{name}: a photo of {{article}} {{noun}} in the wild", name)
        span = noun_span(clip, phrase)
        assert span[0] > 5
        assert tokens_of(clip, phrase.text, span) == name.lower().replace(" ", "")
        assert _span_by_prefix(clip, phrase) == span
        longest = max(longest, span[1] - span[0])
    assert longest > 5


def test_spans_of_nouns_that_occur_twice(clip: CLIPTokenizer, shared: Path) -> None:
    """In the text around the slot, and within other words, with the article's own length."""
    names = json.loads((shared / "data/lists/clip_imagenet_classes.json").read_text())
    templates = (
        "{noun_} and {article} {noun}",
        "{article} {noun}, not {noun_}",
        "x{noun_} beside {article} {noun} or {noun_}s",
    )
    for name, template in product(names, templates):
        phrase = fill(template.replace("{noun_}", name), name)
        assert phrase.text[phrase.start : phrase.end] == name
        start, end = noun_span(clip, phrase)
        assert spells(clip, phrase, (start, end))
        before = clip(phrase.text[: phrase.start], add_special_tokens=False).input_ids
        assert start == 1 + len(before)


def test_spans_hold_in_every_template_of_clip(clip: CLIPTokenizer, shared: Path) -> None:
    names = json.loads((shared / "data/lists/clip_imagenet_classes.json").read_text())
    templates = json.loads((shared / "data/lists/clip_imagenet_templates.json").read_text())
    for index, template in enumerate(templates):
        for name in names[index :: len(templates)]:
            phrase = fill(template.replace("{}", "{noun}"), name)
            assert spells(clip, phrase, noun_span(clip, phrase))


def test_a_tokenizer_as_stable_diffusion_ships_it(clip: CLIPTokenizer, tmp_path: Path) -> None:
    """vocab.json and merges.txt, and no tokenizer.json; under its old name as well."""
    clip.save_pretrained(tmp_path / "all")
    whole = json.loads((tmp_path / "all" / "tokenizer.json").read_text())["model"]
    (tmp_path / "vocab.json").write_text(json.dumps(whole["vocab"]))
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in whole["merges"]]
    (tmp_path / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    config = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "do_lower_case": True}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    assert CLIPTokenizerFast is CLIPTokenizer  # transformers 5 has one of them
    loaded = CLIPTokenizer.from_pretrained(tmp_path)
    assert loaded.is_fast and loaded.model_max_length == 77
    for name in ("St. Bernard", "Geoffroy's spider monkey", "iPod", "jack-o'-lantern"):
        phrase = fill(f"{name} beside {{article}} {{noun}} in the wild", name)
        assert loaded(phrase.text).input_ids == clip(phrase.text).input_ids
        assert noun_span(loaded, phrase) == noun_span(clip, phrase)


def test_truncation_cuts_the_text_but_never_the_noun(clip: CLIPTokenizer, shared: Path) -> None:
    names = json.loads((shared / "data/lists/clip_imagenet_classes.json").read_text())
    for name in names[::50]:
        tail = fill("a photo of {article} {noun}" + ", very detailed" * 40, name)
        span = noun_span(clip, tail)
        assert len(clip(tail.text, padding="max_length", truncation=True).input_ids) == 77
        assert tokens_of(clip, tail.text, span) == name.lower().replace(" ", "")
        with pytest.raises(DsegError, match="expected at most 76 for this text encoder"):
            noun_span(clip, fill("very detailed, " * 40 + "{noun}", name))


def test_article_follows_the_sound_of_the_noun() -> None:
    an = "object Axolotl hour hourglass heirloom umbrella urn uncle iPod ice-cream oboe honest-man"
    a = "moon unicycle uniform European ukulele one-piece utensil used-car USB-stick ewer house"
    for article, nouns in (("an", an), ("a", a)):
        for noun in nouns.split():
            assert fill("{article} {noun}", noun).text == f"{article} {noun}"


def test_articles_of_all_imagenet_names(shared: Path) -> None:
    names = json.loads((shared / "data/lists/clip_imagenet_classes.json").read_text())
    against_their_letter = {
        name for name in names if (name[0].lower() in "aeiou") != (article_of(name) == "an")
    }
    assert against_their_letter == {
        "European green lizard",
        "European garden spider",
        "European polecat",
        "hourglass",
        "one-piece bathing suit",
        "unicycle",
    }


def test_truncated_noun_is_an_error() -> None:
    word = fill("a photo of a {noun}", "xx")  # two tokens, at 5 and 6
    assert noun_span(build_tokenizer(8), word) == (5, 7)
    with pytest.raises(DsegError, match="ends at token 7, expected at most 6"):
        noun_span(build_tokenizer(7), word)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": ()}, "prompts.classes: empty"),
        ({"templates": ()}, "prompts.templates: empty"),
        ({"count": 0}, "prompts.count: 0"),
        ({"contexts": ()}, "prompts.contexts: empty"),
        ({"templates": ("a photo",)}, "expected the slot {noun} once"),
        ({"templates": ("{noun} and {noun}",)}, "expected the slot {noun} once"),
        ({"templates": ("{noun} in {colour}",)}, "slot {colour}"),
        ({"templates": ("{noun",)}, "prompts.templates: '{noun'"),
        ({"classes": ("sea lion", "Sea-lion")}, "are not distinct"),
        ({"classes": (" ",)}, "empty name"),
    ],
)
def test_bad_choices_are_named(change: dict, message: str) -> None:
    with pytest.raises(DsegError, match=message.replace("{", r"\{")):
        build_prompts(TOKENIZER, **CHOICE | change)
