"""A profile of one's own, made as the documentation says, run whole in a folder of an odd name."""

import shutil

import pytest
import yaml
from test_workflow import copy_of_working_tree, said

pytestmark = pytest.mark.slow
MINE = "workflow/profiles/mine"


@pytest.fixture(scope="module")
def clone(root, tmp_path_factory):
    return copy_of_working_tree(root, tmp_path_factory.mktemp("k") / "k s ünï 'q")


@pytest.fixture(scope="module")
def profile(clone):
    """Settings alone: the smallest run, under another name."""
    params = yaml.safe_load((clone.folder / "workflow/profiles/smoke/params.yaml").read_text())
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
