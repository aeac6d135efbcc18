"""What a stage's output depends on besides its input files: source code, settings, base model.

Snakemake and DVC see files only. A command like ``python -m dseg stage synthesis`` hides the
modules it runs, so they are made inputs of its rule: the stage's module and what that imports from
dseg, found by reading the source (nothing is imported here, which would take seconds).
"""

import ast
import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from dseg.errors import DsegError
from dseg.files import write_text

PACKAGE = "dseg"
# No inputs, nor what they import: the version, errors, progress, which change nothing that a stage
# writes.
SILENT = re.compile(r"dseg(\.(errors|progress))?")
# Of the settings, all but what computes inside a stage. A stage reads its settings from a stamp, in
# which defaults stand and overrides are merged as `overrides` does it: what runs before the stamp
# is written shows in it. What reads it back (`reading`, `document`, `typed_json`) and the types
# (`fields`, `run`, ...) pass its values on or refuse them. As inputs, the sentence that explains
# one setting, or one more setting, would make every artifact of a run stale. What merges within a
# stage (`merging`), and whatever module is not named here, counts.
SCHEMA = re.compile(
    r"dseg\.settings(\.(agreement|document|fields|masks|overrides|profiles|reading|run|typed_json"
    r"|world))?"
)


def sources(module: str, root: Path = Path()) -> list[Path]:
    """The source files of ``module`` and of what it imports from dseg, directly or not.

    Imports inside functions count, and so do the packages on the way (their ``__init__.py``);
    those under ``if TYPE_CHECKING`` do not, which only a type checker follows.

    Args:
        module: Dotted name, like ``dseg.stages.synthesis``.
        root: The folder that holds the package ``dseg``.

    Returns:
        Paths relative to ``root``, sorted.

    Raises:
        DsegError: There is no such module, or a source file does not parse.
    """
    found: dict[str, Path] = {}
    todo, seen = [module], set()
    while todo:
        name = todo.pop()
        if name in seen or SILENT.fullmatch(name):
            continue
        seen.add(name)
        path = _file(name, root)
        if path is not None:
            found[name] = path
            todo += _imports(name, root / path, (root / path).read_bytes())
        elif name == module:
            raise DsegError(f"no module {name} in {root.resolve()}: is this the root of dseg?")
        # Else the last part of `from dseg.x import y`, which is a name in a module.
    return sorted(path for name, path in found.items() if not SCHEMA.fullmatch(name))


def declared_sections(module: str, root: Path = Path()) -> tuple[str, ...]:
    """The settings a stage reads: the constant ``SECTIONS`` of its module.

    It is a tuple of names; ``*OTHER`` in it stands for those of another such constant, which the
    module has or imports.

    Raises:
        DsegError: The module is missing or has no such constant.
    """
    return _names(module, "SECTIONS", root)


def _names(module: str, constant: str, root: Path) -> tuple[str, ...]:
    path = _file(module, root)
    for node in [] if path is None else _parse(root / path, (root / path).read_bytes()).body:
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            if constant in (alias.name for alias in node.names):
                return _names(node.module, constant, root)
        elif (
            isinstance(node, ast.Assign)
            and constant in (each.id for each in node.targets if isinstance(each, ast.Name))
            and isinstance(node.value, ast.Tuple)
        ):
            return tuple(
                name
                for each in node.value.elts
                for name in (
                    _names(module, each.value.id, root)
                    if isinstance(each, ast.Starred) and isinstance(each.value, ast.Name)
                    else [str(ast.literal_eval(each))]
                )
            )
    raise DsegError(f"{module}: expected a constant {constant} naming the settings that it reads")


def write_stamp(path: Path, values: Mapping[str, Any]) -> None:
    """Write settings as JSON, atomically, and only if they differ from what is there.

    An unchanged file keeps its time of modification, by which Snakemake judges. A file that is
    not there is written anew, so it is younger than artifacts that came from elsewhere: they look
    stale until somebody who knows better (``reproduce``) says otherwise.
    """
    text = json.dumps(values, indent=1, sort_keys=True) + "\n"
    if path.is_file() and path.read_bytes() == text.encode():
        return
    write_text(path, text)


def _file(module: str, root: Path) -> Path | None:
    path = Path(*module.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if (root / candidate).is_file():
            return candidate
    return None


def _parse(path: Path, content: bytes) -> ast.Module:
    try:
        return ast.parse(content)
    except SyntaxError as error:
        raise DsegError(f"{path}, line {error.lineno}: {error.msg}") from error
    except (ValueError, RecursionError, MemoryError) as error:  # of zero bytes, of brackets
        raise DsegError(f"{path}: no module of Python ({error or 'too deep'})") from error


# Stages share most of their modules: each is looked through once, not once for each stage.
@cache
def _imports(module: str, path: Path, content: bytes) -> tuple[str, ...]:
    """What ``module`` imports of the package, and the packages on the way to it and to itself.

    The last part of a name may be of no module, but of something in one.
    """
    found: dict[str, None] = {}  # a set in order
    for name in _imported_names(module, path, content):
        parts = name.split(".")
        if parts[0] == PACKAGE:
            found |= {".".join(parts[:end]): None for end in range(1, len(parts) + 1)}
    return tuple(found)


def _imported_names(module: str, path: Path, content: bytes) -> Iterator[str]:
    yield module
    for node in _statements(_parse(path, content)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = module.split(".")
                drop = node.level - (path.name == "__init__.py")
                base = ".".join([*package[: len(package) - drop], *([base] if base else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """What a node holds at any depth, but for what stands under ``if TYPE_CHECKING``.

    Expressions are left out: they hold no import and are most of a file.
    """
    yield node
    if isinstance(node, ast.If) and ast.unparse(node.test).split(".")[-1] == "TYPE_CHECKING":
        inner: list[ast.AST] = [*node.orelse]
    else:
        inner = [*ast.iter_child_nodes(node)]
    for each in inner:
        if not isinstance(each, ast.expr):
            yield from _statements(each)
