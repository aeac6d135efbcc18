"""Which sources and settings a stage depends on."""

import json
import os

import pytest

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
        "late": "import dseg.cut",
    }
    for name, text in files.items():
        path = tmp_path / "dseg" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def names(paths):
    return [path.relative_to("dseg").with_suffix("").as_posix() for path in paths]


def test_sources_are_what_the_module_imports_directly_or_not(package):
    found = sources("dseg.stages.cut", package)
    everything = ["cut", "graph/__init__", "graph/flow", "graph/nodes", "late", "maps"]
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


def test_stages_of_the_workflow_do_not_depend_on_each_other_s_code(root):
    of_masks = names(sources("dseg.stages.attentioncut", root))
    assert "method/cut/graphcut" in of_masks
    assert not {"method/head", "method/inversion", "evaluation/metrics", "base_model/pipeline"} & {
        *of_masks
    }


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
