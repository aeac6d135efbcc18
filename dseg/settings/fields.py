"""What sections of settings are made of: their base class and the types of their values."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    with_config,
)
from typing_extensions import TypedDict  # pydantic refuses Python 3.11's own

from dseg.errors import DsegError

T = TypeVar("T")
_READ_AS_MORE = re.compile(r"[{}\x00-\x1f\x7f\x85\u2028\u2029]|, ")  # in a workflow's paths


def _some(values: tuple[T, ...]) -> tuple[T, ...]:
    if not values:
        raise ValueError("expected at least one item")
    return values


def _distinct(values: tuple[T, ...]) -> tuple[T, ...]:
    if len(set(values)) < len(values):
        raise ValueError("expected every item once")
    return values


def _ascending(values: tuple[float, ...]) -> tuple[float, ...]:
    if any(a >= b for a, b in zip(values, values[1:], strict=False)):
        raise ValueError("expected ascending numbers, each once")
    return values


def _pair(value: Any) -> Any:
    if isinstance(value, list | tuple) and len(value) != 2:
        raise ValueError("expected [low, high]")
    return value


def _plain(path: str) -> str:
    if _READ_AS_MORE.search(path):
        raise ValueError(
            "expected a path without braces, line breaks or a comma before a blank, which "
            "Snakemake reads as more than a name: rename the folder, or link to it by another name"
        )
    return path


# Lists of YAML become tuples, so a frozen model is frozen all the way down.
FROM_LIST = Field(strict=False)
# Tags of the two forms of a setting that is a list or says where there is one.
FORMS = ("<list>", "<file>")
SOME = AfterValidator(_some)
DISTINCT = AfterValidator(_distinct)
Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
# Of what is looped or allocated over: far above any use, far below what never ends.
Steps = Annotated[int, Field(ge=1, le=1000)]
Repeats = Annotated[int, Field(ge=0, le=100)]
Width = Annotated[int, Field(ge=1, le=4096)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
Text = Annotated[str, StringConstraints(min_length=1)]
Place = Annotated[Text, AfterValidator(_plain)]
Texts = Annotated[tuple[Text, ...], FROM_LIST, DISTINCT]
Fractions = Annotated[tuple[Fraction, ...], FROM_LIST, SOME, AfterValidator(_ascending)]
FractionRange = Annotated[
    tuple[Fraction, Fraction], FROM_LIST, BeforeValidator(_pair), AfterValidator(_ascending)
]
Strides = Annotated[tuple[Count, ...], FROM_LIST, SOME, DISTINCT]


class Section(BaseModel):
    """A part of the settings: frozen, strictly typed, without unknown keys."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        protected_namespaces=(),
    )

    if not TYPE_CHECKING:  # a type checker must go on reporting attributes that do not exist

        def __getattr__(self, name: str) -> Any:
            # Reached for a declared setting only where `load_sections` was not given it.
            if name in type(self).model_fields:
                where = type(self).__name__.removesuffix("Settings").lower()
                raise DsegError(
                    f"setting {f'{where}.{name}'.lstrip('.')!r} was not given to this stage: name "
                    "it among the sections that its rule passes on"
                )
            return super().__getattr__(name)


class ClassFile(Section):
    file: Place
    """Text file with one name a line, or JSON file with a list of names."""


Classes = Annotated[
    Annotated[Annotated[Texts, SOME], Tag(FORMS[0])] | Annotated[ClassFile, Tag(FORMS[1])],
    Discriminator(lambda value: FORMS[isinstance(value, Mapping | ClassFile)]),
]


def some_keys_of(model: type[Section]) -> Any:
    """The type of a mapping with some of the keys of ``model``, with the same values."""
    keys = {
        name: Annotated[info.rebuild_annotation(), Field(description=info.description)]
        for name, info in model.model_fields.items()
    }
    name = model.__name__.replace("Settings", "Overrides")
    make: Any = TypedDict  # for mypy, this form needs its keys spelled out
    return with_config(Section.model_config)(make(name, keys, total=False))
