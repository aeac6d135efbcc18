"""DVC's stages from Snakemake's rules."""

import pytest

from dseg.config import load_settings
from dseg.dvc_stages import Job, run, stages_of
from dseg.errors import DsegError
from dseg.profiles import PARAMS as PARAMS_FILE
from dseg.profiles import profile_params

A, R = "artifacts/smoke", "results/smoke"
OWN = "workflow/profiles/smoke/params.yaml"
PARAMS = {
    "seed": 0,
    "attentioncut": {"tau": 1, "clip": 0.1},
    "features": {"inversion": "main"},
    "inversions": {"main": {}, "fast": {"steps": 5}},
    "variants": {"a": {}, "b": {}, "c": {"features": {"inversion": "fast"}}},
}


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
        Job("all", {f"{R}/tables/t.csv", f"{A}/images/index"}, target=True),
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
        Job("heads", {*paths.values()}, target=True),
        Job("scores", {*paths.values()}, {f"{A}/scores/all"}, target=True),
    ]


def test_a_stage_is_a_folder_with_all_rules_that_write_to_it(root, monkeypatch):
    monkeypatch.chdir(root)
    stages = stages_of(small_workflow(), "smoke", PARAMS)
    assert list(stages) == ["images", "masks", "table"]
    assert stages["images"]["outs"] == [f"{A}/images"]
    assert stages["images"]["deps"] == ["dseg/stages/index.py", "models/m"]
    assert stages["masks"]["deps"] == [f"{A}/images", "dseg/cut.py"]
    assert stages["masks"]["params"] == ["attentioncut"]
    no_cache = {"cache": False}
    assert stages["table"]["outs"] == [{f"{R}/metrics.json": no_cache}, {f"{R}/tables": no_cache}]


def test_a_command_asks_for_the_stage_and_allows_its_rules_only(root, monkeypatch):
    monkeypatch.chdir(root)
    stages = stages_of(small_workflow(), "smoke", PARAMS)
    words = stages["images"]["cmd"].split()
    assert words[:2] == ["snakemake", "images_index"]
    assert "profile=smoke" in words and "--nolock" in words
    assert words[words.index("--allowed-rules") + 1 :] == ["images", "images_index"]
    assert stages["masks"]["cmd"].split()[1] == "masks"


def test_what_no_target_needs_is_asked_for_by_file(root, monkeypatch):
    """Of a folder that is computed in part there is no index, and of another no target at all."""
    monkeypatch.chdir(root)
    part = Job("images", {"models/m/model_index.json"}, {f"{A}/images/part/0"})
    alone = Job("trip", {f"{A}/images/0"}, {f"{A}/trip/0"})
    stages = stages_of(small_workflow(part, alone), "smoke", PARAMS)
    assert stages["images"]["cmd"].split()[1:3] == ["images_index", f"{A}/images/part/0"]
    words = stages["trip"]["cmd"].split()
    assert words[1:3] == [f"{A}/trip/0", "--config"] and words[-1] == "trip"


def test_instruments_are_a_stage_where_one_reads_them(root, monkeypatch):
    monkeypatch.chdir(root)
    judge = Job("instruments", set(), {f"{A}/instruments/quality.json"}, target=True)
    card = Job("base_card", judge.outputs, {f"{A}/base/card.done"}, target=True)
    assert "instruments" not in stages_of(small_workflow(judge, card), "smoke", PARAMS)
    reader = Job("judged", judge.outputs, {f"{A}/judged/all"}, target=True)
    stages = stages_of(small_workflow(judge, card, reader), "smoke", PARAMS)
    assert stages["judged"]["deps"] == [f"{A}/instruments"]
    assert stages["instruments"]["outs"] == [f"{A}/instruments"]


def test_settings_are_watched_in_the_file_that_says_them(root, monkeypatch):
    monkeypatch.chdir(root)

    def params(override):
        return stages_of(small_workflow(), "smoke", PARAMS, override)["masks"]["params"]

    assert params({"seed": 3}) == [{"params.yaml": ["attentioncut"]}]
    # The whole section in both files: a key that is added to either later counts as well.
    assert params({"attentioncut": {"tau": 2}}) == [
        {"params.yaml": ["attentioncut"]},
        {OWN: ["attentioncut"]},
    ]


def test_each_set_of_variants_is_a_stage(root, monkeypatch):
    monkeypatch.chdir(root)
    stages = stages_of(heads(main=["a", "b"], inversions=["c"]), "smoke", PARAMS)
    assert list(stages) == ["inversion", "head-inversions", "head-main", "scores"]
    assert stages["head-main"]["outs"] == [f"{A}/head/a", f"{A}/head/b"]
    assert stages["head-inversions"]["outs"] == [f"{A}/head/c"]
    words = stages["head-main"]["cmd"].split()
    assert words[1] == "heads_main"
    assert words[words.index("--allowed-rules") + 1 :] == ["head", "heads_main"]
    # Only what its variants read, so that another inversion leaves it as it is.
    assert stages["head-main"]["deps"] == [f"{A}/inversion/main"]
    assert stages["head-inversions"]["deps"] == [f"{A}/inversion/fast"]
    assert stages["scores"]["deps"] == [f"{A}/head/{variant}" for variant in "abc"]
    # A single variant is a set all the same.
    assert "head-main" in stages_of(heads(main=["a"]), "smoke", PARAMS)


def test_a_set_watches_its_own_variants(root, monkeypatch):
    monkeypatch.chdir(root)
    jobs = heads(main=["a", "b"], inversions=["c"])
    stages = stages_of(jobs, "smoke", PARAMS)

    def named(params):
        return [key for key in params if key.startswith(("variants", "inversions"))]

    watched = stages["head-main"]["params"]
    assert named(watched) == ["inversions.main", "variants.a", "variants.b"]
    assert {"features", "head", "inversion"} <= {*watched}
    assert named(stages["head-inversions"]["params"]) == ["inversions.fast", "variants.c"]
    # A set replaces the one below as a whole, so only one file says it.
    override = {"variants": {"a": {}, "b": {"features": {"inversion": "fast"}}}}
    stages = stages_of(heads(main=["a", "b"]), "smoke", PARAMS, override)
    below, own = stages["head-main"]["params"]
    assert named(below[PARAMS_FILE]) == ["inversions.fast", "inversions.main"]
    assert own[OWN] == ["variants.a", "variants.b"]


def test_a_variant_more_or_less_changes_its_set_only(root, monkeypatch):
    monkeypatch.chdir(root)
    few = stages_of(heads(main=["a"], inversions=["c"]), "smoke", PARAMS)
    many = stages_of(heads(main=["a", "b"], inversions=["c"]), "smoke", PARAMS)
    assert {name for name in many if few[name] != many[name]} == {"head-main", "scores"}


def test_what_reads_all_predictions_watches_which_there_are(root, monkeypatch):
    """DVC does not notice that a dependency is gone, as that on a variant taken out."""
    monkeypatch.chdir(root)
    paths = {f"{A}/predictions/a/val/0", f"{A}/recording_masks/x/val/0"}
    made = [Job("made", set(), {path}) for path in paths]
    stages = stages_of([*made, Job("scores", paths, {f"{A}/scores/all"}, True)], "smoke", PARAMS)
    assert stages["scores"]["params"] == ["recordings", "variants"]


def test_overrides_of_other_jobs_are_watched_as_a_whole(root, monkeypatch):
    monkeypatch.chdir(root)
    recording = Job("recording", {f"{A}/settings/recording/x/val.json"}, {f"{A}/recording/x/val/0"})
    params = stages_of([recording], "smoke", PARAMS)["recording"]["params"]
    assert {"recordings", "mask_recordings", "inversions"} <= {*params}


def test_folders_that_need_each_other_are_refused(root, monkeypatch):
    monkeypatch.chdir(root)
    circle = Job("blur", {f"{A}/masks/0"}, {f"{A}/images/1"})
    with pytest.raises(DsegError, match="need each other"):
        stages_of(small_workflow(circle), "smoke", PARAMS)


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
