"""The command line: `dseg COMMAND ...`, or `python -m dseg COMMAND ...`.

A command's options are the arguments of its function: name, type and, from the docstring, meaning.
Arguments that are positional only (before a `/`) are given without a name, a sequence as one or
more words. An option with a sequence may be given in several parts, any other one once. So this
file knows nothing about any stage; what a stage is given stands in its rule. A command of two
words, like `data list`, is one of a group.

All that can go wrong outside of the program is printed here, and here only, as one line.
"""

import argparse
import getpass
import importlib
import inspect
import io
import os
import re
import signal
import sys
import threading
import types
import typing
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from dseg.errors import DsegError, describe

# Commands of the workflow, `dseg stage NAME`: the function `run` of the module of that name.
STAGES = {
    "world": "render one evaluation split of the embedded world",
    "prompts": "class names and templates -> prompts",
    "synthesis": "prompts -> images with their attention",
    "attentioncut": "images with their attention -> masks",
    "renders": "prompts -> renders with true masks, to train heads on",
    "mask-sets": "images with their attention -> masks by another method, to train heads on",
    "oracle-masks": "images -> masks by the oracle segmenter",
    "synthetic-masks": "mask methods judged by the oracle",
    "recording": "images of a benchmark -> their attention",
    "inversion": "synthetic images -> latents on their trajectory",
    "benchmark-inversion": "images of a benchmark -> latents on their trajectory",
    "round-trip": "a benchmark inverted and sampled back -> errors",
    "head": "synthetic pairs -> a trained segmentation head",
    "prediction": "a head, a benchmark -> predicted masks",
    "image-masks": "a benchmark -> masks by a method that sees the image alone",
    "mask-methods": "recorded attention -> IoU of mask methods",
    "evaluation": "predicted masks -> scores",
    "summary": "scores -> one numeric table with intervals and tests",
    "tables": "the summary -> result tables and metrics.json",
    "figures": "the summary, images and masks -> figures",
    "claims": "the summary -> verdicts on the paper's claims",
    "tracking": "results -> MLflow",
    "instruments": "renders -> classifier and segmenter that judge",
    "base-curve": "measure the checkpoints of the base model",
    "base-card": "measure the base model and write its card",
}
# command: (module, function, what it does); the module is imported when the command is called
COMMANDS = {
    "reproduce": ("orchestration.reproduce", "run", "bring all results of a profile up to date"),
    "plan": ("commands.plan", "run", "what a profile will cost: jobs, hours, disk"),
    "segment": ("commands.segment", "run", "your own images -> masks, overlays and boxes"),
    "demo": ("demo.server", "run", "one image seen from inside, as a page in the browser"),
    "export": ("commands.export", "run", "a trained head -> a folder that segments by itself"),
    "score": ("commands.score", "run", "folders of soft masks and true masks -> all scores"),
    "model": ("commands.model", "run", "a base model: fetch it, load it, say what it is"),
    "data list": ("commands.data", "show", "public data sets, and how far each is on this disk"),
    "data download": ("commands.data", "download", "fetch data sets, or go on fetching them"),
    "data prepare": ("commands.data", "prepare", "unpack data sets and check them as a whole"),
    "data verify": ("commands.data", "verify", "hold data sets against their recorded hashes"),
    "data classes": ("datasets.public.class_lists", "fetch", "fetch a public list of class names"),
    **{
        f"stage {name}": (f"stages.{name.replace('-', '_')}", "run", purpose)
        for name, purpose in STAGES.items()
    },
    "stage base-encoder": ("stages.base", "run_encoder", "fit the base model's encoder"),
    "stage base-decoder": ("stages.base", "run_decoder", "train the base model's decoder"),
    "stage base-unet": ("stages.base", "run_unet", "train the base model's U-Net"),
    "stage base-export": (
        "embedded.checkpoints",
        "export",
        "write the base model as a folder",
    ),
    "stage readme": ("reporting.readme", "run", "results -> README.md"),
    "stage benchmark-tables": ("commands.benchmark_tables", "run", "published scores beside ours"),
    "stage schema": ("settings.reading", "write_schema", "write the JSON schema of params.yaml"),
    "stage dvc": ("orchestration.dvc", "run", "write dvc.yaml from the workflow's graph"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    That is 0, or what the function returns if it returns a status; 2 after an error that the user
    can mend; as in a shell, 128 and the signal's number after Ctrl+C, SIGTERM, or where nobody
    reads the output any more, as in `dseg data list | head`.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names of files may be any bytes
            stream.reconfigure(errors="backslashreplace")
    try:
        with _ended_by_signals():
            _know_user()
            function, words, options = _parse(argv)
            status = function(*words, **options)
            _flush()
    except DsegError as error:
        return _refuse(str(error))
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            return 128 + signal.SIGPIPE
        return _refuse(describe(error))
    except _Terminated:
        return 128 + signal.SIGTERM
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return status if isinstance(status, int) else 0


def _know_user() -> None:
    """Name a user whom the system does not know, as in some containers: libraries ask for a name.

    Raises:
        DsegError: There is no home folder either.
    """
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["USER"] = str(os.getuid())  # for what is called as well
    try:
        Path.home()
    except RuntimeError as error:
        raise DsegError(
            "this user has no home folder, where libraries keep what they have fetched: set HOME "
            "to a folder that can be written"
        ) from error


class _Terminated(KeyboardInterrupt):
    """SIGTERM, which batch systems send: a command ends as after Ctrl+C."""


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let SIGTERM end a command with everything in it that is to be done at its end."""

    def end(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # some send it more than once
        raise _Terminated

    # Elsewhere than at a command line the caller's handlers and threads are the caller's.
    own = threading.current_thread() is threading.main_thread()
    own = own and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if own:
        signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        if own:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _refuse(reason: str) -> int:
    print(f"error: {reason}", file=sys.stderr)
    return 2


def _flush() -> None:
    """Write what was printed now, where an error is told, and not at exit, where it is a mess."""
    try:
        sys.stdout.flush()
    except OSError as error:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        error.filename = "the output"
        raise


def _parse(argv: Sequence[str]) -> tuple[Callable[..., object], list[Any], dict[str, Any]]:
    """The function that `argv` asks for, its positional arguments and its options."""
    parser = argparse.ArgumentParser(prog="dseg", description="Segmentation by diffusion models.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    groups: dict[str, Any] = {}
    function: Callable[..., object] | None = None
    for name, (module, attribute, purpose) in COMMANDS.items():
        *group, last = name.split()
        if group and group[0] not in groups:
            members = ", ".join(
                key.split()[1] for key in COMMANDS if key.startswith(f"{group[0]} ")
            )
            branch = commands.add_parser(group[0], help=members, description=f"{members}.")
            groups[group[0]] = branch.add_subparsers(required=True, metavar="COMMAND")
        siblings = groups[group[0]] if group else commands
        command = siblings.add_parser(last, help=purpose, description=f"{purpose}.")
        if list(argv[: len(group) + 1]) == [*group, last]:  # only this one: imports take seconds
            function = getattr(importlib.import_module(f"dseg.{module}"), attribute)
            _add_arguments(command, function)
    options = vars(parser.parse_args(argv))
    assert function is not None  # parse_args leaves with an error on an unknown command
    words = [options.pop(parameter.name) for parameter in _positional(function)]
    return function, words, options


def _positional(function: Callable[..., object]) -> list[inspect.Parameter]:
    parameters = inspect.signature(function).parameters.values()
    return [each for each in parameters if each.kind is inspect.Parameter.POSITIONAL_ONLY]


def _add_arguments(parser: argparse.ArgumentParser, function: Callable[..., object]) -> None:
    hints = typing.get_type_hints(function)
    meanings = _meanings(function)
    for parameter in _positional(function):
        words = {"help": meanings.get(parameter.name)} | _type(hints[parameter.name])
        words["metavar"] = parameter.name.upper()
        words.pop("action", None)
        if parameter.default is not inspect.Parameter.empty:
            words |= {"nargs": "*" if "nargs" in words else "?", "default": parameter.default}
        parser.add_argument(parameter.name, **words)
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
            continue
        # What is not given is left to the function, so that what is given twice is seen.
        options: dict[str, Any] = {"help": meanings.get(name), "default": argparse.SUPPRESS}
        if name == "settings":
            options |= {"metavar": "FILE", "type": _settings, "help": "JSON or YAML file"}
        elif hints[name] is not bool:
            options |= _type(hints[name])
        options.setdefault("action", "store_true" if hints[name] is bool else _Once)
        # A rule of the workflow may have no file of a kind; no words would mean nothing.
        if parameter.default == () and options.get("type") is _path:
            options["nargs"] = "*"
        options["required"] = parameter.default is inspect.Parameter.empty
        parser.add_argument(f"--{name.replace('_', '-')}", dest=name, **options)


class _Once(argparse.Action):
    """An option with one value, given at most once: of two, neither is what was meant."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        if hasattr(namespace, self.dest):
            raise argparse.ArgumentError(self, "given twice: expected one value")
        setattr(namespace, self.dest, values)


def _path(text: str) -> Path:
    if not text:  # Path would take it for the current folder
        raise argparse.ArgumentTypeError("an empty path: expected a file or a folder")
    return Path(text)


def _settings(path: str) -> Any:
    from dseg.settings.reading import load_sections

    return load_sections(path)


def _type(hint: Any) -> dict[str, Any]:
    """Options of argparse for int, float, str, Path, Literal, a sequence of them, or a union.

    A sequence may be given in several parts.
    """
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        members = [member for member in typing.get_args(hint) if member is not types.NoneType]
        return _type(Path if Path in members else members[0])
    if typing.get_origin(hint) is typing.Literal:
        return {"choices": typing.get_args(hint)}
    if typing.get_origin(hint) is not None:
        return _type(typing.get_args(hint)[0]) | {"nargs": "+", "action": "extend"}
    return {"type": _path if hint is Path else hint, "metavar": hint.__name__.upper()}


def _meanings(function: Callable[..., object]) -> dict[str, str]:
    """What the section `Args:` of a docstring says about each argument."""
    text = inspect.getdoc(function) or ""
    section = re.search(r"^Args:\n((?: {4}.*\n?|\n)*)", text, re.MULTILINE)
    found = (
        re.findall(r"^ {4}(\w+): ((?:.*\n?)(?: {8}.*\n?)*)", section[1], re.M) if section else []
    )
    return {name: " ".join(meaning.split()).replace("%", "%%") for name, meaning in found}
