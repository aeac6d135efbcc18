"""DVC's stages from Snakemake's rules."""

import os
import shlex
import sys
from pathlib import Path

import pytest

from dseg.errors import DsegError
from dseg.orchestration.dvc import Job, jobs_of, jobs_of_run, run, stages_of
from dseg.settings.profiles import PARAMS as PARAMS_FILE
from dseg.settings.profiles import profile_params
from dseg.settings.reading import load_settings

A, R = "artifacts/smoke", "results/smoke"
OWN = "workflow/profiles/smoke/params.yaml"


def small_workflow(*more):
    """Images, masks of them, and a table."""
    return [
        Job(
            "images",
            {"models/m/model_index.json", "models/m/unet/w.safetensors"},
            {f"{A}/images/0"},
        ),
        Job(
            "images_index",
            {f"{A}/images/0", "dseg/stages/index.py"},
            {f"{A}/images/index"},
            target=True,
        ),
        Job(
            "cut",
            {f"{A}/images/0", f"{A}/settings/attentioncut.json", "dseg/cut.py"},
            {f"{A}/masks/0"},
        ),
        Job("masks", {f"{A}/masks/0"}, target=True),
        Job("table", {f"{A}/masks/0"}, {f"{R}/tables/t.csv", f"{R}/metrics.json"}, target=True),
        *more,
    ]


def heads(**sets):
    """A head for each variant of some sets, on latents of the inversion it reads, and a score."""
    latents = {"a": "main", "b": "main", "c": "fast"}
    variants = [variant for members in sets.values() for variant in members]
    paths = {variant: f"{A}/head/{variant}/head.safetensors" for variant in variants}
    inverted = {name: f"{A}/inversion/{name}/0" for name in ("main", "fast")}
    return [
        *(Job("inversion", set(), {path}) for path in inverted.values()),
        Job("inversion_index", {*inverted.values()}, {f"{i}.index" for i in inverted.values()}),
        *(
            Job("head", {inverted[latents[variant]], f"{A}/settings/head/{variant}.json"}, {path})
            for variant, path in paths.items()
        ),
        *(
            Job(f"heads_{name}", {paths[variant] for variant in members}, target=True)
            for name, members in sets.items()
        ),
        Job("scores", {*paths.values()}, {f"{A}/scores/all"}, target=True),
    ]


def test_a_stage_is_a_folder_with_all_rules_that_write_to_it(root, monkeypatch):
    monkeypatch.chdir(root)
    stages = stages_of(small_workflow(), "smoke")
    assert list(stages) == ["settings", "images", "masks", "table"]
    assert stages["images"]["outs"] == [f"{A}/images"]
    assert stages["images"]["deps"] == ["dseg/stages/index.py", "models/m"]
    stamp = f"{A}/settings/attentioncut.json"
    assert stages["masks"]["deps"] == [f"{A}/images", stamp, "dseg/cut.py"]
    assert PARAMS_FILE in stages["settings"]["deps"] and OWN in stages["settings"]["deps"]
    assert [*map(dict.keys, stages["settings"]["outs"])] == [{stamp: 0}.keys()]
    no_cache = {"cache": False}
    assert stages["table"]["outs"] == [{f"{R}/metrics.json": no_cache}, {f"{R}/tables": no_cache}]


def test_a_command_asks_for_the_stage_and_allows_its_rules_only(root, monkeypatch):
    monkeypatch.chdir(root)
    stages = stages_of(small_workflow(), "smoke")
    words = stages["images"]["cmd"].split()
    assert words[:2] == ["snakemake", "images_index"]
    assert "profile=smoke" in words and "--nolock" in words
    assert words[words.index("--allowed-rules") + 1 :] == ["images", "images_index"]
    assert stages["masks"]["cmd"].split()[1] == "masks"


def test_a_benchmark_of_any_name_is_a_path_to_dvc(root, monkeypatch):
    monkeypatch.chdir(root)
    jobs = [Job("look", {"data/${HOME} it's"}, {f"{A}/look/$(x) y/0"})]
    stage = stages_of(jobs, "smoke")["look"]
    assert stage["deps"] == ["data/\\${HOME} it's"]
    assert shlex.split(stage["cmd"])[1] == f"{A}/look/$(x) y/0"


def test_what_no_target_needs_is_asked_for_by_file(root, monkeypatch):
    """Of a folder that is computed in part there is no index, and of another no target at all."""
    monkeypatch.chdir(root)
    part = Job("images", {"models/m/model_index.json"}, {f"{A}/images/part/0"})
    alone = Job("trip", {f"{A}/images/0"}, {f"{A}/trip/0"})
    stages = stages_of(small_workflow(part, alone), "smoke")
    assert stages["images"]["cmd"].split()[1:3] == ["images_index", f"{A}/images/part/0"]
    words = stages["trip"]["cmd"].split()
    assert words[1:3] == [f"{A}/trip/0", "--config"] and words[-1] == "trip"


def test_what_all_does_not_need_is_no_stage():
    split = Job("world", set(), {f"{A}/world/val"})
    splits = Job("world_splits", {f"{A}/world/val"}, target=True)
    nothing = Job("world_splits", target=True)
    card = Job("base_card", {f"{A}/images/0"}, {f"{A}/base/card.done"}, target=True)
    every = Job("all", {f"{R}/tables/t.csv", f"{A}/images/index"}, target=True)
    jobs = jobs_of_run(small_workflow(every, split, splits, card))
    assert {job.rule for job in jobs} == {"images", "images_index", "cut", "masks", "table"}
    assert nothing not in jobs_of_run(small_workflow(every, nothing))
    reader = Job("all", {f"{A}/world/val"}, target=True)
    assert {"world", "world_splits"} <= {job.rule for job in jobs_of_run([reader, split, splits])}


def test_each_set_of_variants_is_a_stage(root, monkeypatch):
    monkeypatch.chdir(root)
    stages = stages_of(heads(main=["a", "b"], inversions=["c"]), "smoke")
    assert list(stages) == ["settings", "inversion", "head-inversions", "head-main", "scores"]
    assert stages["head-main"]["outs"] == [f"{A}/head/a", f"{A}/head/b"]
    assert stages["head-inversions"]["outs"] == [f"{A}/head/c"]
    words = stages["head-main"]["cmd"].split()
    assert words[1] == "heads_main"
    assert words[words.index("--allowed-rules") + 1 :] == ["head", "heads_main"]
    # Only what its variants read, so that another inversion leaves it as it is.
    own = [f"{A}/settings/head/{variant}.json" for variant in "abc"]
    assert stages["head-main"]["deps"] == [f"{A}/inversion/main", *own[:2]]
    assert stages["head-inversions"]["deps"] == [f"{A}/inversion/fast", own[2]]
    assert stages["scores"]["deps"] == [f"{A}/head/{variant}" for variant in "abc"]
    # A single variant is a set all the same.
    assert "head-main" in stages_of(heads(main=["a"]), "smoke")


def test_a_variant_more_or_less_changes_its_set_only(root, monkeypatch):
    monkeypatch.chdir(root)
    few = stages_of(heads(main=["a"], inversions=["c"]), "smoke")
    many = stages_of(heads(main=["a", "b"], inversions=["c"]), "smoke")
    changed = {name for name in many if few[name] != many[name]}
    assert changed == {"settings", "head-main", "scores"}


def test_what_reads_all_predictions_watches_which_there_are(root, monkeypatch):
    """DVC does not notice that a dependency is gone, as that on a variant taken out."""
    monkeypatch.chdir(root)
    paths = {f"{A}/predictions/a/val/0", f"{A}/recording_masks/x/val/0"}
    made = [Job("made", set(), {path}) for path in paths]
    stages = stages_of([*made, Job("scores", paths, {f"{A}/scores/all"}, True)], "smoke")
    assert stages["scores"]["params"] == [{PARAMS_FILE: ["recordings", "variants"]}]


def test_folders_that_need_each_other_are_refused(root, monkeypatch):
    monkeypatch.chdir(root)
    circle = Job("blur", {f"{A}/masks/0"}, {f"{A}/images/1"})
    with pytest.raises(DsegError, match="need each other"):
        stages_of(small_workflow(circle), "smoke")


def test_a_benchmark_that_is_not_here_is_one_line(root, tmp_path, monkeypatch):
    for name in ("dseg", "models", "params.yaml", "workflow"):
        (tmp_path / name).symlink_to(root / name)
    monkeypatch.chdir(tmp_path)
    before = (root / "workflow/profiles/sd15/dvc.yaml").read_text()
    with pytest.raises(DsegError, match=r"^prompts\.classes\.file: no file [^\n]*$"):
        run("sd15")
    settings = load_settings(PARAMS_FILE, profile_params("sd15")[1:])
    names = tmp_path / settings.prompts.classes.file
    names.parent.mkdir(parents=True)
    names.touch()
    with pytest.raises(DsegError, match=r"^benchmarks\.\w+\.root: no folder [^\n]*$"):
        run("sd15")
    assert (root / "workflow/profiles/sd15/dvc.yaml").read_text() == before


def test_an_executor_that_is_not_installed_is_one_line(root, tmp_path, monkeypatch):
    (tmp_path / "config.yaml").write_text("executor: nowhere\n")
    monkeypatch.chdir(root)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    monkeypatch.setenv("SNAKEMAKE_PROFILE", str(tmp_path))
    with pytest.raises(DsegError, match="'nowhere'.*SNAKEMAKE_PROFILE=.*unset it") as said:
        jobs_of("smoke")
    assert "\n" not in str(said.value)
