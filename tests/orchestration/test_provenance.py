"""Which sources and settings a stage depends on."""

import ast
import json
import os
from pathlib import Path

import pytest
import yaml

from dseg.errors import DsegError
from dseg.orchestration.provenance import declared_sections, sources, write_stamp


@pytest.fixture
def package(tmp_path):
    """A package `dseg` in which every way to import a module occurs."""
    files = {
        "__init__": "",
        "errors": "import dseg.unrelated",
        "unrelated": "",
        "stages/__init__": "",
        "stages/cut": "from dseg.cut import cut\nSECTIONS = ('seed', 'cut.power')\nimport numpy",
        "stages/show": "from dseg.shared import ALL as THESE, SHOWN\nOWN = ('seed',)\n"
        "SECTIONS = (*SHOWN, *OWN, 'profile')",
        "shared": "SHOWN = ('head', 'variants')",
        "cut": "import dseg.graph.flow\nfrom . import maps\nfrom dseg.errors import DsegError",
        "graph/__init__": "from dseg.graph.nodes import Node",
        "graph/flow": "from .nodes import Node\nfrom ..maps import resize",
        "graph/nodes": "",
        "maps": "def late():\n    from dseg import late",
        "late": "import dseg.cut\n"
        "if TYPE_CHECKING:\n    import dseg.typed\nelse:\n    import dseg.real",
        "typed": "",
        "real": "import typing\nif typing.TYPE_CHECKING:\n    from dseg.typed import T",
    }
    for name, text in files.items():
        path = tmp_path / "dseg" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


PINNED = Path(__file__).with_name("closures.yaml")
ANEW = "if that is meant, write the list anew with `python tests/orchestration/test_provenance.py`"


def names(paths):
    return [path.relative_to("dseg").with_suffix("").as_posix() for path in paths]


def test_sources_are_what_the_module_imports_directly_or_not(package):
    found = sources("dseg.stages.cut", package)
    everything = ["cut", "graph/__init__", "graph/flow", "graph/nodes", "late", "maps", "real"]
    assert names(found) == sorted([*everything, "stages/__init__", "stages/cut"])


def test_sources_of_a_module_that_imports_nothing(package):
    assert names(sources("dseg.graph.nodes", package)) == sorted(["graph/__init__", "graph/nodes"])


def test_missing_module_and_broken_source_are_named(package):
    with pytest.raises(DsegError, match=r"no module dseg\.nothing"):
        sources("dseg.nothing", package)
    (package / "dseg" / "maps.py").write_text("def")
    with pytest.raises(DsegError, match=r"maps\.py, line 1"):
        sources("dseg.stages.cut", package)


def test_declared_sections(package):
    assert declared_sections("dseg.stages.cut", package) == ("seed", "cut.power")
    shared = ("head", "variants", "seed", "profile")
    assert declared_sections("dseg.stages.show", package) == shared
    with pytest.raises(DsegError, match=r"dseg\.cut: expected a constant SECTIONS"):
        declared_sections("dseg.cut", package)
    (package / "dseg" / "shared.py").write_text("")
    with pytest.raises(DsegError, match=r"dseg\.shared: expected a constant SHOWN"):
        declared_sections("dseg.stages.show", package)


def closure(stage, root):
    """The modules behind a stage, but for itself and packages, whose `__init__.py` are empty."""
    found = names(sources(f"dseg.stages.{stage}", root))
    return [name for name in found if not name.endswith("__init__") and name != f"stages/{stage}"]


def closures(root):
    stages = sorted(path.stem for path in (root / "dseg" / "stages").glob("[!_]*.py"))
    return {stage: closure(stage, root) for stage in stages}


def test_closures_are_the_pinned_ones(root):
    pinned = {stage: said.split() for stage, said in yaml.safe_load(PINNED.read_text()).items()}
    found = closures(root)
    assert found.keys() == pinned.keys(), f"stages came or went: {ANEW}"
    for stage, modules in found.items():
        more, less = {*modules} - {*pinned[stage]}, {*pinned[stage]} - {*modules}
        assert not more | less, (
            f"closure of {stage} changed: it gained {sorted(more)} and lost {sorted(less)}, so "
            f"that other changes rerun it; {ANEW}"
        )


@pytest.mark.parametrize(
    ("stage", "unneeded"),
    [
        ("renders", ("torch", "huggingface_hub", "diffusers", "dseg.base_model", "dseg.stages")),
        ("synthetic_masks", ("dseg.reporting", "dseg.datasets", "dseg.base_model")),
        ("oracle_masks", ("dseg.rivals", "dseg.method.cut.energy", "dseg.base_model")),
        ("instruments", ("dseg.base_model", "diffusers")),
        ("attentioncut", ("torch", "dseg.base_model", "dseg.evaluation", "dseg.method.head")),
        ("world", ("torch", "dseg.method", "dseg.artifacts")),
        ("tables", ("torch", "dseg.base_model", "dseg.rivals")),
    ],
)
def test_stages_do_without_what_they_do_not_run(root, stage, unneeded):
    imported = {
        name
        for path in sources(f"dseg.stages.{stage}", root)
        for node in ast.walk(ast.parse((root / path).read_text()))
        for name in (
            [each.name for each in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported
    assert not [
        name for name in imported for other in unneeded if f"{name}.".startswith(f"{other}.")
    ]


def test_stamp_is_rewritten_only_when_it_changes(tmp_path):
    path = tmp_path / "settings" / "cut.json"
    write_stamp(path, {"seed": 0, "cut": {"power": 3.0}})
    assert json.loads(path.read_text()) == {"cut": {"power": 3.0}, "seed": 0}
    os.utime(path, (1, 1))
    write_stamp(path, {"cut": {"power": 3.0}, "seed": 0})
    assert path.stat().st_mtime == 1
    write_stamp(path, {"seed": 1, "cut": {"power": 3.0}})
    assert path.stat().st_mtime > 1
    assert [each.name for each in path.parent.iterdir()] == ["cut.json"]


if __name__ == "__main__":
    said = {stage: " ".join(modules) for stage, modules in closures(Path()).items()}
    PINNED.write_text(yaml.safe_dump(said, width=100))
