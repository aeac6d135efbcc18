"""What the repository promises as a whole: style, types, one environment, no machine's paths."""

import re
import subprocess
import sys
import tomllib
from importlib import metadata

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

import dseg

LONGEST_MODULE = 400


@pytest.fixture(scope="module")
def project(root):
    return tomllib.loads((root / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def lock(root):
    """Pinned requirements by canonical name."""
    lines = (root / "requirements.txt").read_text().splitlines()
    pins = [Requirement(line) for line in lines if line and not line.lstrip().startswith("#")]
    return {canonicalize_name(pin.name): pin for pin in pins}


@pytest.fixture(scope="module")
def tracked(root):
    """Tracked text files as (path relative to the root, text)."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout: there is no list of tracked files")
    texts = []
    for name in filter(None, listed.stdout.split("\0")):
        content = (root / name).read_bytes() if (root / name).is_file() else b"\0"
        if b"\0" not in content[:8000]:
            texts.append((name, content.decode("utf-8")))
    return texts


def pinned(pin):
    (specifier,) = pin.specifier
    assert specifier.operator == "==", f"{pin} is not pinned"
    return Version(specifier.version)


def run(root, *command):
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_style(root):
    run(root, "ruff", "check", ".")


def test_format(root):
    run(root, "ruff", "format", "--check", ".")


def test_types(root):
    run(root, "mypy")


def test_modules_are_read_in_one_sitting(root):
    lengths = {
        str(path.relative_to(root)): len(path.read_text().splitlines())
        for path in (root / "dseg").rglob("*.py")
    }
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_MODULE} == {}


def test_lock_satisfies_every_declared_dependency(project, lock):
    declared = project["project"]["dependencies"] + project["dependency-groups"]["dev"]
    for requirement in map(Requirement, declared):
        name = canonicalize_name(requirement.name)
        assert name in lock, f"{name} is not in requirements.lock: run make lock"
        assert requirement.specifier.contains(pinned(lock[name])), f"{requirement}: run make lock"


def test_lock_is_of_any_machine(root, lock):
    text = (root / "requirements.lock").read_text()
    assert not re.search(r"://|--(extra-)?index-url|--find-links| @ ", text)
    assert not any(pinned(pin).local for pin in lock.values()), "a local build is pinned"
    assert not any(name.startswith("nvidia-") for name in lock), "torch's wheel brings these"


def test_what_is_installed_is_checked_by_hash_but_for_torch(root, lock):
    text = (root / "requirements.lock").read_text()
    hashed = re.compile(r"^([\w.-]+)==\S+(?: ;[^\\\n]*)? \\\n +--hash=sha256:", re.M)
    with_hashes = set(hashed.findall(text))
    assert {canonicalize_name(name) for name in with_hashes} == lock.keys() - {"torch"}
    assert re.sub(r" \\\n +--hash=\S+", "", text) == (root / "requirements.txt").read_text()


def test_installed_versions_are_those_of_the_lock(lock):
    differing = {}
    for name, pin in lock.items():
        if pin.marker and not pin.marker.evaluate():
            continue
        try:
            installed = Version(metadata.version(name)).public  # without a local part, like +cpu
        except metadata.PackageNotFoundError:
            installed = "not installed"
        if installed != str(pinned(pin)):
            differing[name] = f"{installed}, locked {pinned(pin)}"
    assert differing == {}, "run make setup"


def test_torch_metadata_for_locking_names_the_locked_torch(root, lock):
    entries = tomllib.loads((root / "uv-compile.toml").read_text())["dependency-metadata"]
    (torch,) = [entry for entry in entries if entry["name"] == "torch"]
    assert Version(torch["version"]) == pinned(lock["torch"])
    said = {canonicalize_name(Requirement(line).name) for line in torch["requires-dist"]}
    needed = {
        canonicalize_name(requirement.name)
        for requirement in map(Requirement, metadata.requires("torch") or [])
        if not (requirement.marker and "extra" in str(requirement.marker))
        and not requirement.name.startswith(("nvidia-", "cuda-", "triton"))
    }
    assert said == needed


def test_conda_environment_is_that_of_the_lock(root, project):
    environment = yaml.safe_load((root / "environment.yml").read_text())
    python, pip, from_pip = environment["dependencies"]
    supported = SpecifierSet(project["project"]["requires-python"])
    assert python.startswith("python=") and supported.contains(python.removeprefix("python="))
    assert (pip, from_pip) == ("pip", {"pip": ["-r requirements.txt"]})


def test_python_versions_agree(root, project):
    supported = SpecifierSet(project["project"]["requires-python"])
    assert supported.contains(".".join(map(str, sys.version_info[:3])))
    (bounds,) = re.findall(
        r"\((\d), (\d+)\) <= sys\.version_info\[:2\] < \((\d), (\d+)\)",
        (root / "Makefile").read_text(),
    )
    assert supported == SpecifierSet(">={}.{},<{}.{}".format(*bounds))


def test_no_tracked_file_names_a_place_on_one_machine(root, tracked):
    folders = "|".join(["home", "root", "Users", "work", "opt", "mnt"])
    somewhere = re.compile(rf"(?<![\w.~*/>}})\]-])/(?:{folders})/\w|file:{'/' * 3}")
    found = [
        f"{name}: {line.strip()[:120]}"
        for name, text in tracked
        for line in text.splitlines()
        if somewhere.search(line) or str(root) in line
    ]
    assert found == []


def test_no_tracked_file_names_a_package_registry(tracked):
    registry = re.compile(
        r"://[^\s\"']*(?:pypi|pythonhosted|conda\.anaconda)[^\s\"']*|[-_]index-" "url"
    )
    found = [name for name, text in tracked if registry.search(text)]
    assert found == []


def test_citation(root):
    citation = yaml.safe_load((root / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= citation.keys()
    assert citation["version"] == dseg.__version__
    assert citation["license"] == "Apache-2.0"
    paper = citation["preferred-citation"]
    assert paper["title"].startswith("DiffusionSeg: ") and paper["year"] == 2023
    assert len(paper["authors"]) == 8
    assert all(set(author) == {"family-names", "given-names"} for author in paper["authors"])
    assert paper["url"].endswith(paper["identifiers"][0]["value"].partition("arXiv.")[2])


def test_make_lists_every_target(root):
    makefile = (root / "Makefile").read_text()
    (phony,) = re.findall(r"^\.PHONY: (.*)$", makefile, flags=re.MULTILINE)
    listed = subprocess.run(
        ["make", "--silent"], cwd=root, capture_output=True, text=True, check=True
    )
    assert [line.split()[1] for line in listed.stdout.splitlines()] == phony.split()


def test_wrong_python_is_one_clear_line(root, tmp_path):
    (tmp_path / "Makefile").write_text((root / "Makefile").read_text())
    for name in ("requirements.lock", "pyproject.toml"):
        (tmp_path / name).touch()
    done = subprocess.run(
        ["make", "--silent", "setup", "PYTHON=false"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    said = done.stderr.splitlines()[0]
    assert said.startswith("error: dseg needs Python 3.11 to 3.13, but false is")
    assert not (tmp_path / ".venv").exists()
