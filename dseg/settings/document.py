"""A file of settings as plain values: YAML, of which JSON is a part, that nobody vouches for.

What is never needed in settings is refused before anything is made of it: deep nesting, tags,
and aliases that stand for far more than the file holds.
"""

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dseg.errors import DsegError

MOST_BYTES = 1 << 18
_PER_NODE = 64  # characters: a longer text counts as several nodes
_DEEPEST = 20
_LONGEST_NUMBER = 100  # characters
_SHOWN = 60  # characters


@dataclass(frozen=True)
class Bounds:
    """What a file may hold at most.

    Attributes:
        bytes: Its size.
        nodes: Keys and values, an alias counted as all that it stands for.
    """

    bytes: int = MOST_BYTES
    nodes: int = 10_000


SETTINGS = Bounds()


class _Loader(yaml.SafeLoader):
    """YAML's safe loader within bounds, where 1e-05 is a number and a key may occur only once."""

    yaml_implicit_resolvers = {
        # A date is no setting, and PyYAML fails over one such as 2020-13-45.
        first: [entry for entry in entries if not entry[0].endswith(":timestamp")]
        for first, entries in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, text: str, most: int) -> None:
        super().__init__(text)
        self._most = most
        self._nodes = 0
        self._depth = 0
        # Of every node that is whole: its nodes, and its levels, aliases expanded.
        self._whole: dict[yaml.Node, tuple[int, int]] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = self.peek_event()
        before, levels = self._nodes, 1
        if isinstance(event, yaml.AliasEvent):
            aliased: Any = self.anchors.get(event.anchor)
            if aliased is not None and aliased not in self._whole:
                raise _problem(event, f"{shorten(event.anchor)} refers to what it is a part of")
            nodes, levels = self._whole.get(aliased, (1, 1))
            self._nodes += nodes
        else:
            if event.tag is not None:
                raise _problem(event, f"tag {shorten(event.tag)}; settings are written without")
            self._nodes += 1 + len(getattr(event, "value", "")) // _PER_NODE
        if self._depth + levels > _DEEPEST:
            raise _problem(event, f"more than {_DEEPEST} levels, one in another")
        if self._nodes > self._most:
            raise _problem(event, f"more than {self._most} keys and values, aliases expanded")
        self._depth += 1
        node: Any = super().compose_node(parent, index)
        self._depth -= 1
        if not isinstance(event, yaml.AliasEvent):
            inner = [part for each in getattr(node, "value", ()) for part in _parts(each)]
            levels += max((self._whole[part][1] for part in inner), default=0)
            self._whole[node] = self._nodes - before, levels
        return node

    def compose_mapping_node(self, anchor: Any) -> Any:
        node: Any = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _problem(key, "expected text as a key")
            if key.value in seen:  # the first would be lost
                raise _problem(key, f"key {key.value[:_SHOWN]!r} occurs twice")
            seen.add(key.value)
        return node

    def construct_number(self, node: yaml.ScalarNode) -> int | float:
        if len(node.value) > _LONGEST_NUMBER:
            raise _problem(node, f"a number of {len(node.value)} characters")
        try:
            if node.tag.endswith(":int"):
                return int(self.construct_yaml_int(node))
            return float(self.construct_yaml_float(node))
        except ValueError as error:  # such as 0x_, which is an integer by its pattern
            raise _problem(node, f"not a number: {shorten(node.value)}") from error


def _parts(value: Any) -> tuple[Any, ...]:
    """Nodes of an item of a node: of a mapping a pair, of a list one, of text none."""
    return () if isinstance(value, str) else value if isinstance(value, tuple) else (value,)


for _kind in ("int", "float"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _Loader.construct_number)
_Loader.add_implicit_resolver(  # YAML 1.2, JSON and DVC write it so; PyYAML wants 1.0e-05
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)


def _problem(at: Any, text: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=text, problem_mark=at.start_mark)


def read_document(path: Path, bounds: Bounds = SETTINGS) -> dict[str, Any]:
    """The mapping in a file of YAML or JSON: texts, numbers, truth values, lists and mappings.

    Raises:
        DsegError: The file cannot be read, is out of bounds, no YAML, no mapping, or holds what no
            settings need.
    """
    try:
        with path.open("rb") as file:
            content = file.read(bounds.bytes + 1)
        if len(content) > bounds.bytes:
            raise DsegError(f"{path}: more than {bounds.bytes >> 10} KiB; no file of settings")
        values = _Loader(content.decode(), bounds.nodes).get_single_data()
    except OSError as error:
        raise DsegError(f"{path}: cannot read settings: {error.strerror}") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        problem = " ".join(str(error.problem).split())
        raise DsegError(f"{path}: line {line}: not valid YAML: {problem[:200]}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DsegError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise DsegError(f"{path}: expected settings as `key: value`, got {shorten(values)}")
    return values


def shorten(value: Any) -> str:
    """A value as JSON, its beginning if it is long: no more of it is turned into text."""
    text = ""
    for part in json.JSONEncoder(default=str, ensure_ascii=False).iterencode(value):
        text += part
        if len(text) > _SHOWN:
            return text[: _SHOWN - 3] + "..."
    return text


def nearest(key: str, known: Sequence[str] | Mapping[str, Any]) -> str:
    """The end of a message on an unknown key: the one that was meant, or all that there are."""
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; expected one of {', '.join(known)}" if known else ""
