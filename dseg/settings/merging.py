"""How an entry of a set of the settings changes a section: what runs inside stages, not before."""

from collections.abc import Mapping
from typing import Any, TypeVar

from dseg.errors import DsegError
from dseg.settings.fields import Section

T = TypeVar("T")
S = TypeVar("S", bound=Section)


def entry(what: str, known: Mapping[str, T], name: str) -> T:
    """The entry of a set by its name; DsegError if there is none."""
    if name not in known:
        raise DsegError(f"no {what} {name!r}; there are {', '.join(known)}")
    return known[name]


def changed(section: S, changes: Mapping[str, Any]) -> S:
    """A section with the changes of an entry, which were checked when settings were read."""
    return section.model_copy(update=dict(changes))
