"""A profile of one's own, made as the documentation says, run whole with odd names of all folders.

A shell that is given one of them unquoted would leave a file PWN.
"""

import shutil

import pytest
import yaml
from clones import copy_of_working_tree, said

from dseg.settings.reading import load_settings
from dseg.stages import world

pytestmark = pytest.mark.slow
MINE = "workflow/profiles/mine"
IMAGES = "data/k s ü 'q' \"r\" $HOME $(touch PWN);`touch PWN`"
NAMES = "data/names & $(touch PWN) 'ü'.txt"


@pytest.fixture(scope="module")
def clone(root, tmp_path_factory):
    return copy_of_working_tree(root, tmp_path_factory.mktemp("k") / "k s ünï 'q")


@pytest.fixture(scope="module")
def profile(clone):
    """Settings alone: the smallest run, under another name, with images and class names beside."""
    smoke = clone.folder / "workflow/profiles/smoke/params.yaml"
    world.run(load_settings(clone.folder / "params.yaml", [smoke]), "val", clone.folder / IMAGES)
    (clone.folder / NAMES).write_text("gear\nkey\nmoon\n")
    params = yaml.safe_load(smoke.read_text())
    params["benchmarks"]["val"]["root"] = IMAGES
    params["prompts"]["classes"] = {"file": NAMES}
    folder = clone.folder / MINE
    folder.mkdir()
    (folder / "params.yaml").write_text(yaml.safe_dump(params | {"profile": "mine"}))
    clone.env["PROFILE"] = "mine"
    return folder


def test_settings_alone_are_a_profile(clone, profile):
    done = clone.call("bash", "workflow/reproduce.sh")
    assert (clone.folder / "results/mine/report.html").is_file()
    assert (clone.folder / "results/mine/tables/saliency.csv").is_file()
    assert (profile / "dvc.lock").is_file(), said(done)
    assert "nothing to be done" in clone.call("bash", "workflow/reproduce.sh").stdout
    assert not any(clone.folder.parent.rglob("PWN"))


def test_a_copied_folder_is_not_run_under_the_old_name(clone, profile):
    shutil.copy(clone.folder / "workflow/profiles/smoke/config.yaml", profile / "config.yaml")
    for command in (
        ["bash", "workflow/reproduce.sh"],
        ["snakemake", "--profile", MINE, "--dry-run"],
    ):
        done = clone.call(*command, check=False)
        assert done.returncode != 0
        assert f"{MINE}/config.yaml: config: expected profile=mine" in said(done)
        assert "Traceback" not in said(done)
    (profile / "config.yaml").unlink()
