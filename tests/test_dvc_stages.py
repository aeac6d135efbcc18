"""DVC's stages from Snakemake's rules."""

import pytest

from dseg.dvc_stages import Rule, stages_of
from dseg.errors import DsegError

A, R = "artifacts/smoke", "results/smoke"
PARAMS = {"seed": 0, "attentioncut": {"tau": 1, "clip": 0.1}, "variants": {"a": {}, "b": {}}}


def rules(**changes):
    """A small workflow: images, masks of them, and a table."""
    made = {
        "images": Rule({"models/m/model_index.json", "models/m/unet/w.safetensors"}),
        "images_index": Rule({f"{A}/images/0", "dseg/stages/index.py"}, target=True),
        "cut": Rule({f"{A}/images/0", f"{A}/settings/attentioncut.json", "dseg/cut.py"}),
        "masks": Rule({f"{A}/masks/0"}, target=True),
        "table": Rule({f"{A}/masks/0"}, {f"{R}/tables/t.csv", f"{R}/metrics.json"}, target=True),
        "all": Rule({f"{R}/tables/t.csv", f"{A}/images/index"}, target=True),
    }
    made["images"].outputs = {f"{A}/images/0"}
    made["images_index"].outputs = {f"{A}/images/index"}
    made["cut"].outputs = {f"{A}/masks/0"}
    return made | changes


def test_a_stage_is_a_folder_with_all_rules_that_write_to_it(root, monkeypatch):
    monkeypatch.chdir(root)
    stages = stages_of(rules(), "smoke", PARAMS)
    assert list(stages) == ["images", "masks", "table"]
    assert stages["images"]["outs"] == [f"{A}/images"]
    assert stages["images"]["deps"] == ["dseg/stages/index.py", "models/m"]
    assert stages["masks"]["deps"] == [f"{A}/images", "dseg/cut.py"]
    assert stages["masks"]["params"] == ["attentioncut"]
    no_cache = {"cache": False}
    assert stages["table"]["outs"] == [{f"{R}/metrics.json": no_cache}, {f"{R}/tables": no_cache}]


def test_a_command_asks_for_the_stage_and_allows_its_rules_only(root, monkeypatch):
    monkeypatch.chdir(root)
    stages = stages_of(rules(), "smoke", PARAMS)
    words = stages["images"]["cmd"].split()
    assert words[:2] == ["snakemake", "images_index"]
    assert "profile=smoke" in words and "--nolock" in words
    assert words[words.index("--allowed-rules") + 1 :] == ["images", "images_index"]
    assert stages["masks"]["cmd"].split()[1] == "masks"


def test_files_that_no_target_leads_to_are_asked_for(root, monkeypatch):
    monkeypatch.chdir(root)

    def words(**changes):
        command = stages_of(rules(**changes), "smoke", PARAMS)["masks"]["cmd"].split()
        return command[1 : command.index("--config")]

    made = rules()["cut"]
    made.outputs = {f"{A}/masks/0", f"{A}/masks/1"}
    assert words(cut=made) == ["masks", f"{A}/masks/1"]
    none = Rule({f"{A}/images/0"}, {f"{A}/masks/0"})
    assert words(cut=none, masks=Rule({f"{A}/images/0"}, {f"{A}/masks/2"})) == [
        f"{A}/masks/0",
        f"{A}/masks/2",
    ]


def test_instruments_are_a_stage_where_a_stage_reads_them(root, monkeypatch):
    monkeypatch.chdir(root)
    written = Rule({"dseg/cut.py"}, {f"{A}/instruments/quality.json"}, target=True)
    card = Rule({f"{A}/instruments/quality.json"}, {f"{A}/base/card.done"}, target=True)
    assert "instruments" not in stages_of(
        rules(instruments=written, base_card=card), "smoke", PARAMS
    )
    judged = Rule({f"{A}/instruments/quality.json"}, {f"{A}/judged/0"}, target=True)
    stages = stages_of(rules(instruments=written, judged=judged), "smoke", PARAMS)
    assert stages["instruments"]["outs"] == [f"{A}/instruments"]
    assert stages["judged"]["deps"] == [f"{A}/instruments"]
    assert list(stages).index("instruments") < list(stages).index("judged")


def test_settings_are_watched_in_the_file_that_says_them(root, monkeypatch):
    monkeypatch.chdir(root)

    def params(override):
        return stages_of(rules(), "smoke", PARAMS, override)["masks"]["params"]

    own = "workflow/profiles/smoke/params.yaml"
    assert params({"seed": 3}) == [{"params.yaml": ["attentioncut"]}]
    # The whole section in both files: a key that is added to either later counts as well.
    assert params({"attentioncut": {"tau": 2}}) == [
        {"params.yaml": ["attentioncut"]},
        {own: ["attentioncut"]},
    ]


def test_overrides_of_jobs_are_watched(root, monkeypatch):
    monkeypatch.chdir(root)
    head = Rule({f"{A}/settings/head/a.json"}, {f"{A}/head/a/head.safetensors"})
    stages = stages_of(rules(head=head, heads=Rule({f"{A}/head/a/head.safetensors"})), "smoke", {})
    assert "variants" in stages["head"]["params"] and "features" in stages["head"]["params"]
    changes = {"variants": {"a": {}}}
    stages = stages_of(rules(head=head), "smoke", PARAMS, changes)
    # A set replaces the one below as a whole, so only one file says it.
    assert "variants" in stages["head"]["params"][1]["workflow/profiles/smoke/params.yaml"]
    assert not any("variants" in key for key in stages["head"]["params"][0]["params.yaml"])


def test_folders_that_need_each_other_are_refused(root, monkeypatch):
    monkeypatch.chdir(root)
    images = Rule({f"{A}/masks/0"}, {f"{A}/images/0"})
    with pytest.raises(DsegError, match="need each other"):
        stages_of(rules(images=images), "smoke", PARAMS)
