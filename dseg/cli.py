"""The command line: `dseg COMMAND ...`, or `python -m dseg COMMAND ...`.

A command's options are the arguments of its function: name, type and, from the docstring, meaning.
Arguments that are positional only (before a `/`) are given without a name, a sequence as one or
more words. So this file knows nothing about any stage; what a stage is given stands in its rule.
A command of two words, like `data list`, is one of a group.
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
    "renders": ("stages.renders", "run", "prompts -> renders with true masks, to train heads on"),
    "mask-sets": ("stages.mask_sets", "run", "the same by another mask method, to train heads on"),
    "oracle-masks": ("stages.oracle_masks", "run", "the same by the oracle segmenter"),
    "synthetic-masks": ("stages.synthetic_masks", "run", "mask methods judged by the oracle"),
    "recording": ("stages.recording", "run", "images of a benchmark -> their attention"),
    "inversion": ("stages.inversion", "run", "synthetic images -> latents on their trajectory"),
    "benchmark-inversion": ("stages.benchmark_inversion", "run", "the same for a benchmark"),
    "round-trip": ("stages.round_trip", "run", "a benchmark inverted and sampled back -> errors"),
    "head": ("stages.head", "run", "synthetic pairs -> a trained segmentation head"),
    "prediction": ("stages.prediction", "run", "a head, a benchmark -> predicted masks"),
    "mask-methods": ("stages.mask_methods", "run", "recorded attention -> IoU of mask methods"),
    "evaluation": ("stages.evaluation", "run", "predicted masks -> scores"),
    "tables": ("stages.tables", "run", "scores -> result tables and metrics.json"),
    "benchmark-tables": ("stages.benchmark_tables", "run", "published scores beside ours"),
    "score": ("stages.score", "run", "folders of soft masks and true masks -> all scores"),
    "figures": ("stages.figures", "run", "scores and masks -> figures"),
    "claims": ("stages.claims", "run", "scores -> verdicts on the paper's claims"),
    "export": ("stages.export", "run", "a trained head -> a folder that segments images by itself"),
    "segment": ("stages.segment", "run", "your own images -> masks, overlays and boxes"),
    "demo": ("demo.server", "run", "one image seen from inside, as a page in the browser"),
    "tracking": ("stages.tracking", "run", "results -> MLflow"),
    "readme": ("stages.readme", "run", "results -> README.md"),
    "index": ("stages.index", "run", "write the indices of folders of shards"),
    "instruments": ("stages.instruments", "run", "renders -> classifier and segmenter that judge"),
    "base-encoder": ("stages.base", "run_encoder", "fit the base model's encoder"),
    "base-decoder": ("stages.base", "run_decoder", "train the base model's decoder"),
    "base-unet": ("stages.base", "run_unet", "train the base model's U-Net"),
    "base-export": ("stages.base", "export", "write the base model as a pipeline folder"),
    "base-curve": ("stages.base_curve", "run", "measure the checkpoints of the base model"),
    "base-card": ("stages.base_card", "run", "measure the base model and write its card"),
    "model": ("stages.model_report", "run", "a base model: fetch it, load it, say what it is"),
    "plan": ("stages.budget", "run", "what a profile will cost: jobs, hours, disk"),
    "data list": ("stages.data", "show", "public benchmarks, and how far each is on this disk"),
    "data download": ("stages.data", "download", "fetch benchmarks, or go on fetching them"),
    "data prepare": ("stages.data", "prepare", "unpack benchmarks and check them as a whole"),
    "data verify": ("stages.data", "verify", "hold benchmarks against their recorded hashes"),
    "data classes": ("stages.class_names", "fetch", "fetch a public list of class names"),
    "schema": ("schema", "write_schema", "write the JSON schema of params.yaml"),
    "dvc": ("dvc_stages", "run", "write dvc.yaml from the workflow's graph"),
    "reproduce": ("reproduce", "run", "bring all results of a profile up to date"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    That is 0, or what the function returns if it returns a status; 2 after an error that the user
    can mend.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        function, words, options = _parse(argv)
        status = function(*words, **options)
    except DsegError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return status if isinstance(status, int) else 0


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
        if parameter.default is not inspect.Parameter.empty:
            words |= {"nargs": "*" if "nargs" in words else "?", "default": parameter.default}
        parser.add_argument(parameter.name, **words)
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
            continue
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
    """Options of argparse for int, float, str, Path, Literal, a sequence of them, or a union."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        members = [member for member in typing.get_args(hint) if member is not types.NoneType]
        return _type(Path if Path in members else members[0])
    if typing.get_origin(hint) is typing.Literal:
        return {"choices": typing.get_args(hint)}
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
