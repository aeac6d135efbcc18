"""The command line: `python -m dseg STAGE --settings FILE ...`.

A stage's options are the arguments of its module's `run`: name, type and, from the docstring,
meaning. So this file knows nothing about any stage; what a stage is given stands in its rule.
"""

import argparse
import importlib
import inspect
import re
import sys
import types
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from dseg.errors import DsegError

# command: (module, function, what it does); the module is imported when the command is called
COMMANDS = {
    "world": ("stages.world", "run", "render one evaluation split of the embedded world"),
    "prompts": ("stages.prompts", "run", "class names and templates -> prompts"),
    "synthesis": ("stages.synthesis", "run", "prompts -> images with their attention"),
    "attentioncut": ("stages.attentioncut", "run", "images with their attention -> masks"),
    "recording": ("stages.recording", "run", "images of a benchmark -> their attention"),
    "inversion": ("stages.inversion", "run", "synthetic images -> latents on their trajectory"),
    "benchmark-inversion": ("stages.benchmark_inversion", "run", "the same for a benchmark"),
    "head": ("stages.head", "run", "synthetic pairs -> a trained segmentation head"),
    "prediction": ("stages.prediction", "run", "a head, a benchmark -> predicted masks"),
    "mask-methods": ("stages.mask_methods", "run", "recorded attention -> IoU of mask methods"),
    "evaluation": ("stages.evaluation", "run", "predicted masks -> scores"),
    "tables": ("stages.tables", "run", "scores -> result tables and metrics.json"),
    "figures": ("stages.figures", "run", "scores and masks -> figures"),
    "tracking": ("stages.tracking", "run", "results -> MLflow"),
    "readme": ("stages.readme", "run", "results -> README.md"),
    "index": ("stages.index", "run", "write the indices of folders of shards"),
    "base-autoencoder": ("stages.base", "run_autoencoder", "train the base model's auto-encoder"),
    "base-unet": ("stages.base", "run_unet", "train the base model's U-Net"),
    "base-export": ("stages.base", "export", "write the base model as a pipeline folder"),
    "base-card": ("stages.base_card", "run", "measure the base model and write its card"),
    "schema": ("plan", "write_schema", "write the JSON schema of params.yaml"),
    "dvc": ("dvc_stages", "run", "write dvc.yaml from the workflow's graph"),
    "reproduce": ("reproduce", "run", "bring all results of a profile up to date"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; 2 after an error that the user can mend."""
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        function, arguments = _parse(argv)
        function(**arguments)
    except DsegError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def _parse(argv: Sequence[str]) -> tuple[Callable[..., object], dict[str, Any]]:
    """The function that `argv` asks for, and its arguments; settings files are read."""
    parser = argparse.ArgumentParser(prog="dseg", description="Segmentation by diffusion models.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    function: Callable[..., object] | None = None
    for name, (module, attribute, purpose) in COMMANDS.items():
        command = commands.add_parser(name, help=purpose, description=f"{purpose}.")
        if argv and argv[0] == name:  # only the one called, since imports take seconds
            function = getattr(importlib.import_module(f"dseg.{module}"), attribute)
            _add_options(command, function)
    arguments = vars(parser.parse_args(argv))
    del arguments["command"]
    assert function is not None  # parse_args leaves with an error on an unknown command
    return function, arguments


def _add_options(parser: argparse.ArgumentParser, function: Callable[..., object]) -> None:
    hints = typing.get_type_hints(function)
    meanings = _meanings(function)
    for name, parameter in inspect.signature(function).parameters.items():
        required = parameter.default is inspect.Parameter.empty
        options: dict[str, Any] = {"help": meanings.get(name)}
        if name == "settings":
            options |= {"metavar": "FILE", "type": _settings, "help": "JSON or YAML file"}
        elif hints[name] is bool:
            options |= {"action": "store_true"}
        else:
            options |= _type(hints[name])
        if not required:
            options["default"] = parameter.default
            if options.get("nargs") == "+":
                options["nargs"] = "*"
        parser.add_argument(f"--{name.replace('_', '-')}", dest=name, required=required, **options)


def _settings(path: str) -> Any:
    from dseg.config import load_sections

    return load_sections(path)


def _type(hint: Any) -> dict[str, Any]:
    """Options of argparse for one of int, float, str, Path, a sequence of them, or a union."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        members = [member for member in typing.get_args(hint) if member is not types.NoneType]
        return _type(Path if Path in members else members[0])
    if typing.get_origin(hint) is not None:
        return _type(typing.get_args(hint)[0]) | {"nargs": "+"}
    return {"type": hint, "metavar": hint.__name__.upper()}


def _meanings(function: Callable[..., object]) -> dict[str, str]:
    """What the section `Args:` of a docstring says about each argument."""
    text = inspect.getdoc(function) or ""
    section = re.search(r"^Args:\n((?: {4}.*\n?|\n)*)", text, re.MULTILINE)
    found = (
        re.findall(r"^ {4}(\w+): ((?:.*\n?)(?: {8}.*\n?)*)", section[1], re.M) if section else []
    )
    return {name: " ".join(meaning.split()).replace("%", "%%") for name, meaning in found}
