"""The house: which way imports go, and that what is written of its rooms is so."""

import re
import subprocess
import sys


def test_imports_go_one_way(root):
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_the_layout_names_every_room(root):
    page = (root / "docs" / "layout.md").read_text()
    rooms = {path.parent.name for path in (root / "dseg").glob("*/__init__.py")}
    named = set(re.findall(r"^      (\w+)/ ", page, re.MULTILINE))
    assert named == rooms


def test_only_the_facade_says_anything_in_an_init(root):
    package = root / "dseg"
    saying = {
        path.relative_to(package).as_posix()
        for path in package.rglob("__init__.py")
        if path.read_text().strip()
    }
    assert saying == {"__init__.py"}


def test_tests_lie_in_the_rooms_of_what_they_test(root):
    rooms = {path.parent.relative_to(root / "dseg") for path in (root / "dseg").rglob("*.py")}
    others = {"repository", "support", "workflow"}
    folders = {path.parent.relative_to(root / "tests") for path in (root / "tests").rglob("*.py")}
    assert {folder for folder in folders - rooms if folder.as_posix() not in others} == set()
