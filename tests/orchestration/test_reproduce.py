"""What is taken from DVC's cache, and what Snakemake is told to be up to date."""

import pytest
import yaml

from dseg.errors import DsegError
from dseg.orchestration.reproduce import (
    RWLOCK,
    Stage,
    check_rwlock,
    fresh_stages,
    read_stages,
    restorable_stages,
)


def stage(deps=(), outs=()):
    return Stage(frozenset(deps), frozenset(outs), (), ())


STAGES = {
    "images": stage(["model"], ["images"]),
    "masks": stage(["images"], ["masks"]),
    "head": stage(["images", "masks"], ["head"]),
    "scores": stage(["head"], ["scores"]),
}


def test_all_is_fresh_without_changes():
    assert fresh_stages(STAGES, {}) == ["images", "masks", "head", "scores"]


def test_what_builds_on_a_changed_stage_is_not_fresh():
    assert fresh_stages(STAGES, {"masks": ["changed command"]}) == ["images"]


def test_only_missing_files_are_restored():
    gone = {"images": "deleted"}
    changes = {
        "images": [{"changed outs": gone}],
        "masks": [{"changed deps": gone}, {"changed outs": {"masks": "deleted"}}],
        "head": [{"changed deps": {"params.yaml": {"head": "modified"}}, "changed outs": gone}],
        "scores": [{"changed deps": {"head": "deleted"}}],
        "tables": ["changed command", {"changed outs": {"tables": "deleted"}}],
        "figures": [{"changed outs": {"figures": "modified"}}],
    }
    assert restorable_stages(changes) == ["images", "masks"]


def test_stages_of_the_repository_name_targets_and_rules(root):
    stages = read_stages(root / "dvc.yaml")
    assert stages["images-main"].targets == ("images-main",)
    assert stages["images-main"].rules == ("images-main", "synthesis")
    assert "artifacts/embedded/prompts" in stages["images-main"].deps
    assert "results/embedded/metrics.json" in stages["tables"].outs


def test_stages_are_listed_after_those_they_build_on(root):
    for file in (root / "dvc.yaml", root / "workflow" / "profiles" / "smoke" / "dvc.yaml"):
        made = set()
        stages = read_stages(file)
        outs = frozenset().union(*(stage.outs for stage in stages.values()))
        for stage in stages.values():
            assert stage.deps & outs <= made
            made |= stage.outs
        assert len(made) == sum(len(stage.outs) for stage in stages.values())


def test_metrics_and_plots_are_outputs(root):
    declared = yaml.safe_load((root / "dvc.yaml").read_text())
    outs = frozenset().union(*(stage.outs for stage in read_stages(root / "dvc.yaml").values()))
    paths = [*declared["metrics"], *(plot for plot in declared["plots"] if isinstance(plot, str))]
    paths += [entry["path"] for entry in declared["artifacts"].values()]
    for path in paths:
        assert any(path == out or path.startswith(f"{out}/") for out in outs), path


def test_damaged_marks_of_dvc_are_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check_rwlock()
    RWLOCK.parent.mkdir(parents=True)
    RWLOCK.write_text("{}")
    check_rwlock()
    for damaged in (b"", b"rubbish", b"\xff\x00"):
        RWLOCK.write_bytes(damaged)
        with pytest.raises(DsegError, match=r"^\.dvc/tmp/rwlock: empty or damaged, .* remove it"):
            check_rwlock()
