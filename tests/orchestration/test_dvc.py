"""DVC's stages from Snakemake's rules."""

import os
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


@pytest.fixture
def smoke(root, monkeypatch):
    """The settings of the profile smoke, with the root of the repository as the folder."""
    monkeypatch.chdir(root)
    return load_settings(PARAMS_FILE, profile_params("smoke")[1:])


def small_workflow(*more):
    """Images, masks of them, and a table."""
    return [
        Job(
            "synthesis",
            {"models/m/model_index.json", "models/m/unet/w.safetensors"},
            {f"{A}/images/main/0"},
        ),
        Job("images-main", {f"{A}/images/main/0"}, target=True),
        Job(
            "cut",
            {f"{A}/images/main/0", f"{A}/settings/attentioncut.json", "dseg/cut.py"},
            {f"{A}/masks/main/cut/0"},
        ),
        Job("masks-main-cut", {f"{A}/masks/main/cut/0"}, target=True),
        Job(
            "table",
            {f"{A}/masks/main/cut/0"},
            {f"{R}/tables/t.csv", f"{R}/metrics.json"},
            target=True,
        ),
        *more,
    ]


def heads(**sets):
    """A head for each variant of some sets, on latents of the inversion it reads, and a score."""
    latents = {"a": "main", "b": "main", "c": "fast"}
    variants = [variant for members in sets.values() for variant in members]
    paths = {variant: f"{A}/head/{variant}/head.safetensors" for variant in variants}
    inverted = {name: f"{A}/latents/main/{name}/0" for name in ("main", "fast")}
    return [
        *(Job("inversion", set(), {path}) for path in inverted.values()),
        *(Job(f"latents-main-{name}", {path}, target=True) for name, path in inverted.items()),
        *(
            Job("head", {inverted[latents[variant]], f"{A}/settings/head/{variant}.json"}, {path})
            for variant, path in paths.items()
        ),
        *(
            Job(f"head-{name}", {paths[variant] for variant in members}, target=True)
            for name, members in sets.items()
        ),
        Job("scores", {*paths.values()}, {f"{A}/scores/all"}, target=True),
    ]


def test_a_stage_is_a_folder_with_all_rules_that_write_to_it(smoke):
    stages = stages_of(small_workflow(), smoke)
    assert list(stages) == ["settings", "images-main", "masks-main-cut", "table"]
    images, masks = stages["images-main"], stages["masks-main-cut"]
    assert images["outs"] == [f"{A}/images/main"] and images["deps"] == ["models/m"]
    stamp = f"{A}/settings/attentioncut.json"
    assert masks["deps"] == [f"{A}/images/main", stamp, "dseg/cut.py"]
    assert PARAMS_FILE in stages["settings"]["deps"] and OWN in stages["settings"]["deps"]
    assert [*map(dict.keys, stages["settings"]["outs"])] == [{stamp: 0}.keys()]
    no_cache = {"cache": False}
    assert stages["table"]["outs"] == [{f"{R}/metrics.json": no_cache}, {f"{R}/tables": no_cache}]


def test_a_command_asks_for_the_stage_and_allows_its_rules_only(smoke):
    words = stages_of(small_workflow(), smoke)["images-main"]["cmd"].split()
    assert words[:2] == ["snakemake", "images-main"]
    assert "profile=smoke" in words and "--nolock" in words
    assert words[words.index("--allowed-rules") + 1 :] == ["images-main", "synthesis"]


def test_a_benchmark_of_any_name_is_a_path_to_dvc(smoke):
    jobs = [Job("look", {"data/${HOME} it's"}, {f"{A}/look/0"}, target=True)]
    assert stages_of(jobs, smoke)["look"]["deps"] == ["data/\\${HOME} it's"]


def test_what_no_target_asks_for_is_refused(smoke):
    alone = Job("trip", {f"{A}/images/main/0"}, {f"{A}/trip/0"})
    with pytest.raises(DsegError, match="no target asks for what is made by trip"):
        stages_of(small_workflow(alone), smoke)


def test_folders_that_one_target_asks_for_are_one_stage(smoke):
    more = [Job("synthesis", set(), {f"{A}/images/{name}/0"}) for name in ("b", "c")]
    both = Job("images-others", {f"{A}/images/b/0", f"{A}/images/c/0"}, target=True)
    stages = stages_of(small_workflow(*more, both), smoke)
    assert stages["images-others"]["outs"] == [f"{A}/images/b", f"{A}/images/c"]
    assert stages["images-main"]["outs"] == [f"{A}/images/main"]


def test_what_all_does_not_need_is_no_stage():
    split = Job("world_split", set(), {f"{A}/world/val"})
    splits = Job("world", {f"{A}/world/val"}, target=True)
    nothing = Job("world", target=True)
    card = Job("base_card", {f"{A}/images/main/0"}, {f"{A}/base/card.done"}, target=True)
    every = Job("all", {f"{R}/tables/t.csv", f"{A}/images/main/0"}, target=True)
    jobs = jobs_of_run(small_workflow(every, split, splits, card))
    made = {"synthesis", "images-main", "cut", "masks-main-cut", "table"}
    assert {job.rule for job in jobs} == made
    assert nothing not in jobs_of_run(small_workflow(every, nothing))
    reader = Job("all", {f"{A}/world/val"}, target=True)
    assert {"world", "world_split"} <= {job.rule for job in jobs_of_run([reader, split, splits])}


def test_each_set_of_variants_is_a_stage(smoke):
    stages = stages_of(heads(main=["a", "b"], inversions=["c"]), smoke)
    latents = ["latents-main-fast", "latents-main-main"]
    assert list(stages) == ["settings", *latents, "head-inversions", "head-main", "scores"]
    assert stages["head-main"]["outs"] == [f"{A}/head/a", f"{A}/head/b"]
    assert stages["head-inversions"]["outs"] == [f"{A}/head/c"]
    words = stages["head-main"]["cmd"].split()
    assert words[1] == "head-main"
    assert words[words.index("--allowed-rules") + 1 :] == ["head", "head-main"]
    # Only what its variants read, so that another inversion leaves it as it is.
    own = [f"{A}/settings/head/{variant}.json" for variant in "abc"]
    assert stages["head-main"]["deps"] == [f"{A}/latents/main/main", *own[:2]]
    assert stages["head-inversions"]["deps"] == [f"{A}/latents/main/fast", own[2]]
    assert stages["scores"]["deps"] == [f"{A}/head/{variant}" for variant in "abc"]
    # A single variant is a set all the same.
    assert "head-main" in stages_of(heads(main=["a"]), smoke)


def test_a_variant_more_or_less_changes_its_set_only(smoke):
    few = stages_of(heads(main=["a"], inversions=["c"]), smoke)
    many = stages_of(heads(main=["a", "b"], inversions=["c"]), smoke)
    changed = {name for name in many if few[name] != many[name]}
    assert changed == {"settings", "head-main", "scores"}


def test_what_reads_all_predictions_watches_which_there_are(smoke):
    """DVC does not notice that a dependency is gone, as that on a variant taken out."""
    paths = {f"{A}/masks/val/a/0", f"{A}/masks/val/x/0"}
    made = [Job("made", set(), {path}, target=True) for path in paths]
    scores = Job("scores", paths, {f"{A}/scores/all"}, target=True)
    learns = Job("head", {f"{A}/masks/main/cut/0"}, {f"{A}/head/a/0"}, target=True)
    stages = stages_of(small_workflow(*made, scores, learns), smoke)
    assert stages["scores"]["params"] == [
        {PARAMS_FILE: ["recordings", "image_methods", "variants"]}
    ]
    assert "params" not in stages["head"]


def test_folders_that_need_each_other_are_refused(smoke):
    circle = Job("blur", {f"{A}/masks/main/cut/0"}, {f"{A}/images/main/1"})
    with pytest.raises(DsegError, match="need each other"):
        stages_of(small_workflow(circle), smoke)


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
