"""The workflow's files: style, agreement with the command line, with DVC and with the settings."""

import ast
import re
import subprocess
import sys
from string import Formatter

import pytest
import yaml

from dseg.cli import COMMANDS
from dseg.orchestration.dvc import document, dvc_file, jobs_of
from dseg.settings.profiles import PARAMS, profile_params
from dseg.settings.reading import load_settings

SNAKEFMT = "snakefmt", "--check", "workflow"


@pytest.fixture(scope="module")
def commands(root):
    """(rule file, command, its options) of every call of dseg in a rule."""
    calls = []
    for path in sorted((root / "workflow" / "rules").glob("*.smk")):
        text = re.sub(r'"\s*\n\s*f?"', "", path.read_text())
        for call in re.findall(
            r"python -m dseg (stage .*?)(?=python -m dseg|$)", text, re.MULTILINE
        ):
            calls.append(
                (path.name, " ".join(call.split()[:2]), set(re.findall(r"--([\w-]+)", call)))
            )
    return calls


def definition(root, command):
    """The function behind a command, as source: importing it would take seconds."""
    module, name, _ = COMMANDS[command]
    path = root / "dseg" / f"{module.replace('.', '/')}.py"
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return node
    raise AssertionError(f"{path} has no function {name}")


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_command_is_a_function_with_typed_arguments(root, command):
    arguments = definition(root, command).args
    assert all(argument.annotation is not None for argument in arguments.args)
    assert arguments.vararg is None and arguments.kwarg is None


def test_rules_give_commands_their_options(root, commands):
    assert len(commands) > 15
    for file, command, options in commands:
        arguments = definition(root, command).args
        names = [argument.arg.replace("_", "-") for argument in arguments.args]
        required = names[: len(names) - len(arguments.defaults)]
        assert options <= {*names}, f"{file}: {command} does not know {options - {*names}}"
        assert {*required} <= options, f"{file}: {command} needs {({*required}) - options}"


def test_rule_files_are_named_for_a_stage_and_included(root):
    snakefile = (root / "workflow" / "Snakefile").read_text()
    files = {path.stem for path in (root / "workflow" / "rules").glob("*.smk")}
    stages = {path.stem for path in (root / "dseg" / "stages").glob("*.py")}
    assert files <= {*stages, "targets"}  # of what makes nothing itself
    assert {*re.findall(r'include: "rules/(\w+)\.smk"', snakefile)} == files


def test_every_shell_command_quotes_its_values_and_keeps_a_log(root):
    """A folder that settings name, like data/$(touch X), is a word to the shell and no command."""
    checked = 0
    for path in sorted((root / "workflow").rglob("*.smk")):
        for shell in re.findall(r'shell:\n((?:\s*"[^\n]*"\n)+)', path.read_text()):
            command = "".join(re.findall(r'"([^\n]*)"\n', shell))
            values = [(name, form) for _, name, form, _ in Formatter().parse(command) if name]
            assert "$(" not in command and "`" not in command, f"{path.name}: {command}"
            assert {form for _, form in values} == {"q"}, f"{path.name}: {values}"
            assert command.endswith(" 2>&1 | tee {log:q}"), f"{path.name}: {command}"
            checked += 1
        assert path.read_text().count("shell:") <= checked
    assert checked > 20


@pytest.mark.parametrize("profile", ["embedded", "smoke", "study"])
def test_dvc_yaml_is_that_of_the_workflow(root, monkeypatch, profile):
    monkeypatch.chdir(root)
    said = (root / dvc_file(profile)).read_text()
    assert said == document(profile, jobs_of(profile)), (
        f"run `python -m dseg stage dvc --profile {profile}`"
    )


@pytest.mark.parametrize("profile", ["sd15", "sd15-mini"])
def test_dvc_yaml_of_runs_on_benchmarks_that_are_not_here(root, tmp_path, monkeypatch, profile):
    for name in ("dseg", "models", "environment.yml", "params.yaml", "workflow"):
        (tmp_path / name).symlink_to(root / name)
    monkeypatch.chdir(tmp_path)
    settings = load_settings(PARAMS, profile_params(profile)[1:])
    for benchmark in settings.benchmarks.values():
        (tmp_path / benchmark.root).mkdir(parents=True)
    names = tmp_path / settings.prompts.classes.file
    names.parent.mkdir(parents=True)
    names.touch()
    said = (root / dvc_file(profile)).read_text()
    assert said == document(profile, jobs_of(profile)), (
        f"run `python -m dseg stage dvc --profile {profile}`"
    )


def test_profiles_of_settings_have_a_dvc_yaml_and_are_named(root):
    folders = [path.parent for path in (root / "workflow" / "profiles").glob(f"*/{PARAMS}")]
    assert folders
    for folder in folders:
        assert (folder / "dvc.yaml").is_file()
        assert yaml.safe_load((folder / PARAMS).read_text())["profile"] == folder.name
        config = yaml.safe_load((folder / "config.yaml").read_text())
        assert config["config"] == [f"profile={folder.name}"]


def test_snakemake_lint(root):
    done = subprocess.run(
        ["snakemake", "--lint"], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_snakefmt(root):
    done = subprocess.run(SNAKEFMT, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_usage_is_shown_by_the_module(root):
    done = subprocess.run(
        [sys.executable, "-m", "dseg", "--help"], cwd=root, capture_output=True, text=True
    )
    assert done.returncode == 0 and "synthesis" in done.stdout
