"""What the Snakefile is told about a run."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from dseg.errors import DsegError
from dseg.orchestration.plan import Plan, make_plan
from dseg.reporting import comparison
from dseg.settings.profiles import profile_params
from dseg.settings.reading import load_sections


@pytest.fixture
def checkout(root, tmp_path, monkeypatch):
    """A folder that looks like the root of the repository, in which files may change."""
    for name in ("dseg", "models"):
        (tmp_path / name).symlink_to(root / name)
    (tmp_path / "params.yaml").write_text((root / "params.yaml").read_text())
    (tmp_path / "workflow" / "rules").mkdir(parents=True)
    smoke = tmp_path / "workflow" / "profiles" / "smoke"
    smoke.mkdir(parents=True)
    smoke_params = root / "workflow" / "profiles" / "smoke" / "params.yaml"
    (smoke / "params.yaml").write_text(smoke_params.read_text())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def change(file, section, **values):
    params = yaml.safe_load(file.read_text())
    params[section] = params.get(section, {}) | values
    file.write_text(yaml.safe_dump(params))


def job(**wildcards):
    return SimpleNamespace(**wildcards)


def test_profile_names_folders(checkout):
    assert [str(path) for path in profile_params("embedded")] == ["params.yaml"]
    assert len(profile_params("smoke")) == 2
    with pytest.raises(DsegError, match="no profile 'huge': expected embedded, smoke"):
        profile_params("huge")
    plan = Plan("smoke")
    assert plan.artifact("head") == "artifacts/smoke/head"
    assert plan.result("tables") == "results/smoke/tables"


def test_profile_must_bear_its_own_name(checkout):
    (checkout / "params.yaml").write_text(
        (checkout / "params.yaml").read_text().replace("profile: embedded", "profile: other")
    )
    with pytest.raises(DsegError, match=r"params\.yaml: profile: expected 'embedded'"):
        Plan("embedded")


def test_bad_settings_end_the_program_with_one_line(checkout):
    with pytest.raises(SystemExit, match="^error: --config seed: unknown"):
        make_plan({"seed": 1})
    change(checkout / "params.yaml", "head", epoch=3)
    with pytest.raises(SystemExit, match=r"^error: params\.yaml: head\.epoch: unknown key") as end:
        make_plan({})
    assert "\n" not in str(end.value)


def test_a_stage_is_given_the_settings_it_declares_and_no_others(checkout):
    stamp = checkout / Plan("smoke").stamp("attentioncut")
    assert list(json.loads(stamp.read_text())) == ["attentioncut"]


def test_stamps_change_with_what_a_stage_reads_only(checkout):
    def stamps():
        plan = Plan("smoke")
        plan.stamp("synthesis"), plan.stamp("attentioncut")
        plan.stamps("head", "{variant}"), plan.stamps("recording", "{recording}/{benchmark}")
        folder = checkout / "artifacts" / "smoke" / "settings"
        return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*.json")}

    params, before = checkout / "workflow" / "profiles" / "smoke" / "params.yaml", stamps()
    assert stamps() == before

    def changed(section, **values):
        nonlocal before
        change(params, section, **values)
        last, before = before, stamps()
        return {name for name in before if before[name] != last[name]}

    assert changed("attentioncut", lambda_self=7.0) == {"attentioncut.json"}
    assert changed("head", epochs=9) == {"head/inversion.json", "head/rgb.json"}
    assert changed("variants", rgb={"head": {"input": "rgb", "width": 4}}) == {"head/rgb.json"}
    new = {"layout": "saliency", "root": "elsewhere", "images": 3}
    assert changed("benchmarks", val=new) == {"recording/attentioncut-noise/val.json"}
    assert changed("evaluation", threshold=0.25) == set()


def test_overrides_of_a_job_are_merged_into_its_settings(checkout):
    plan = Plan("embedded")
    pattern = plan.stamps("recording", "{recording}/{benchmark}")
    path = pattern.format(recording="attentioncut-inversion", benchmark="test")
    settings = load_sections(checkout / path)
    assert settings.recording.latents == "inversion" and settings.recording.noun == "class"
    assert list(settings.benchmarks) == ["test"]
    pattern = plan.stamps("head", "{variant}")
    settings = load_sections(checkout / pattern.format(variant="clean"))
    assert settings.features.source == "clean" and settings.features.timesteps == (0.0,)


def test_a_folder_holds_all_its_items_and_is_known_by_kind_set_and_way(checkout):
    params = checkout / "params.yaml"
    change(params, "synthesis", items_per_shard=200)
    change(params, "recording", items_per_shard=50)
    plan, folder = Plan("embedded"), "artifacts/embedded"
    assert plan.shards("masks/main/otsu") == [
        f"{folder}/masks/main/otsu/0000{index}-of-00003.safetensors" for index in range(3)
    ]
    assert len(plan.shards("images/main", first=201)) == 2
    images = plan.settings.benchmark("test").images
    assert len(plan.shards("attention/test/attentioncut-noise")) == -(-images // 50)
    with pytest.raises(DsegError, match="no benchmark 'gone'"):
        plan.shards("latents/gone/main")


def test_methods_are_run_on_the_benchmarks_where_they_are_shown(checkout):
    plan = Plan("embedded")
    settings = plan.settings

    def of(method):
        return {path.split("/")[3] for path in plan.evaluated_shards() if f"/{method}/" in path}

    held_out, boxes = comparison.held_out(settings), comparison.box_benchmarks(settings)
    assert of("inversion") == {*held_out, *boxes}
    assert of("noise") == {*held_out}
    recorded = {path.split("/")[3] for path in plan.mask_method_shards()}
    assert recorded == {*comparison.mask_benchmarks(settings)}
    assert {*plan.mask_method_shards(), *plan.evaluated_shards()} <= {*plan.needed_shards()}


def test_what_is_told_of_images_must_be_known(checkout):
    """On a benchmark that is not named the recordings that tell a noun are not made."""
    params = checkout / "params.yaml"
    of_test = {"layout": "saliency", "root": "data/test", "images": 4}
    change(params, "benchmarks", test=of_test | {"named": False}, more=of_test)
    change(params, "recordings", wrong={"noun": "wrong"}, moon={"noun": "moon"})
    change(params, "mask_recordings", early={"noun": "class"}, late={"noun": "object"})
    early = {"method": "otsu", "recording": "early"}
    change(params, "mask_methods", early=early, late={"method": "otsu", "recording": "late"})
    plan = Plan("embedded")
    settings, shown, needed = plan.settings, plan.shown(), plan.needed()
    told = {"attentioncut-noise", "attentioncut-inversion", "wrong", "early"}
    untold = {"attentioncut-object", "moon", "late"}
    for name in told | untold:
        # Mask methods are compared on val and test alone.
        assert ("val" if name in settings.mask_recordings else "more") in shown[name]
        assert ("test" in shown[name]) == (name in untold)
        assert (f"attention/test/{name}" in needed) == (name in untold)
        assert comparison.is_asked(settings, name, "more")
        assert comparison.is_asked(settings, name, "test") == (name in untold)
    assert all("test" in shown[name] for name in settings.variants)
    assert not any("/attention/test/" in path for path in plan.evaluated_shards())
    recorded = {tuple(path.split("/")[3:5]) for path in plan.mask_method_shards()}
    assert ("test", "late") in recorded and ("val", "early") in recorded
    assert not any(place == "test" and name in told for place, name in recorded)
    assert {*plan.mask_method_shards()} <= {*plan.needed_shards()}


def test_rivals_that_see_the_image_alone_are_run_where_heads_are(checkout):
    params = checkout / "params.yaml"
    rivals = {"luminance": {"method": "otsu"}, "rectangle": {"method": "grabcut", "margin": 0.2}}
    change(params, "image_methods", **rivals)
    of_test = {"layout": "saliency", "root": "data/test", "images": 4, "named": False}
    change(params, "benchmarks", test=of_test)
    change(params, "recording", items_per_shard=3)
    plan = Plan("embedded")
    needed, shown, folder = plan.needed(), plan.shown(), "masks/test/rectangle"
    assert plan.methods[-len(plan.settings.variants) - 2 :][:2] == [*rivals]
    held_out = comparison.held_out(plan.settings)
    assert {*held_out} <= {*shown["luminance"]} and "test" in shown["rectangle"]
    assert needed[folder] == plan.shards(folder) and len(needed[folder]) == 2
    assert {*needed[folder]} <= {*plan.evaluated_shards()} <= {*plan.needed_shards()}
    assert not any(name.startswith("attention/") and "rectangle" in name for name in needed)
    assert plan.sizes()[folder] == (2, 4)
    of_targets = [path for paths in plan.targets().values() for path in paths]
    assert {*needed[folder]} <= {*of_targets}
    pattern = plan.stamps("image_masks", "{image_method}/{benchmark}")
    stamp = json.loads(Path(pattern.format(image_method="rectangle", benchmark="test")).read_text())
    assert stamp["image_methods"]["rectangle"]["margin"] == 0.2
    assert [*stamp["image_methods"]] == ["rectangle"] and [*stamp["benchmarks"]] == ["test"]


def test_instruments_and_the_judged_split_follow_what_a_base_model_learns(checkout):
    plan = Plan("embedded")
    assert plan.base_val == "artifacts/embedded/world/val"
    assert {*plan.instruments} == {"classifier", "segmenter", "quality"}
    change(checkout / "params.yaml", "base", photographs="data/clothes")
    plan = Plan("embedded")
    assert plan.base_val == "data/clothes/val"
    assert plan.instruments == {
        "classifier": "artifacts/embedded/instruments/classifier.safetensors",
        "quality": "artifacts/embedded/instruments/quality.json",
    }


def test_a_job_gets_latents_and_model_only_if_it_reads_them(checkout):
    plan = Plan("embedded")
    inverted, rgb = job(variant="inversion", benchmark="test"), job(variant="rgb", benchmark="test")
    assert plan.head_latents(inverted) == plan.shards("latents/main/main")
    assert plan.head_latents(rgb) == plan.prediction_latents(rgb) == plan.head_model(rgb) == []
    assert plan.prediction_latents(inverted) == plan.needed()["latents/test/main"]
    noised = job(recording="attentioncut-noise", benchmark="test")
    of_latents = job(recording="attentioncut-inversion", benchmark="test")
    assert plan.recording_latents(noised) == []
    assert plan.recording_latents(of_latents) == plan.prediction_latents(inverted)


def test_attention_to_cut_by_is_of_synthesis_or_of_a_recording(checkout):
    plan, shard = Plan("embedded"), {"shard": "00001", "total": "00002"}
    name = "00001-of-00002.safetensors"
    assert plan.cut[0] == "main/attentioncut" and "test/attentioncut-noise" in plan.cut
    assert plan.attention(job(cut="main/attentioncut", **shard)).endswith(f"/images/main/{name}")
    given = plan.attention(job(cut="test/attentioncut-noise", **shard))
    assert given == f"artifacts/embedded/attention/test/attentioncut-noise/{name}"


def test_a_head_reads_the_shards_of_its_first_prompts_alone(checkout):
    params = checkout / "params.yaml"
    change(params, "inversions", few={"steps": 5})
    few = {"features": {"inversion": "few"}, "head": {"prompts": 240, "pairs": 9, "masks": "otsu"}}
    change(params, "variants", few=few)
    plan, part = Plan("embedded"), job(variant="few", benchmark="test")
    assert plan.head_images(part) == plan.shards("images/main")[:1]
    assert plan.head_latents(part) == plan.shards("latents/main/few")[:1]
    assert plan.head_masks(part) == plan.shards("masks/main/otsu")[:1]
    needed, sizes = plan.needed(), plan.sizes()
    assert needed["latents/main/few"] == plan.head_latents(part)
    assert needed["masks/main/otsu"] == plan.head_masks(part)
    assert needed["images/main"] == plan.shards("images/main")
    assert sizes["masks/main/otsu"] == (1, plan.settings.synthesis.items_per_shard)
    assert sizes["images/main"] == (2, plan.settings.prompts.count)


def test_the_longest_head_is_that_with_most_pairs(checkout):
    params = checkout / "params.yaml"
    change(params, "variants", long={"head": {"pairs": 400, "epochs": 99}})
    assert Plan("embedded").longest_head() == "artifacts/embedded/head/long/head.safetensors"


def test_an_oracle_is_asked_only_where_the_settings_say_so(checkout):
    plan, folder = Plan("embedded"), "masks/main/oracle"
    assert folder not in plan.needed() and plan.judged(folder) == []
    assert plan.synthetic_masks() == plan.quality() == []
    per_shard = plan.settings.synthesis.items_per_shard
    change(checkout / "params.yaml", "instruments", scored=per_shard)
    plan = Plan("embedded")
    assert plan.judged(folder) == plan.needed()[folder] == plan.shards(folder)[:1]
    assert plan.synthetic_masks() == ["artifacts/embedded/synthetic_masks/images.parquet"]
    assert plan.quality() == ["artifacts/embedded/instruments/quality.json"]
    assert "results/embedded/tables/mask-methods-synthetic.csv" in plan.tables("csv")
    change(checkout / "params.yaml", "variants", taught={"head": {"masks": "oracle"}})
    plan = Plan("embedded")
    learnt = plan.head_masks(job(variant="taught", benchmark="test"))
    assert learnt == plan.needed()[folder] == plan.shards(folder)


def test_only_the_splits_that_are_read_are_rendered(checkout):
    params = checkout / "params.yaml"
    values = yaml.safe_load(params.read_text())
    values["benchmarks"] = {"own": {"layout": "saliency", "root": "data/own", "images": 4}}
    params.write_text(yaml.safe_dump(values))
    assert Plan("embedded").splits == []
    change(params, "instruments", scored=10)
    assert Plan("embedded").splits == ["val"]
    test = {"layout": "saliency", "root": "world/test", "images": values["world"]["images"]["test"]}
    change(params, "benchmarks", seen=test)
    assert Plan("embedded").splits == ["test", "val"]


def test_scoring_more_images_trains_no_instrument_again(checkout):
    before = (checkout / Plan("embedded").stamp("instruments")).read_text()
    change(checkout / "params.yaml", "instruments", scored=100)
    assert (checkout / Plan("embedded").stamp("instruments")).read_text() == before


def test_every_synthesis_has_folders_of_its_own(checkout):
    params = checkout / "params.yaml"
    weak = {"guidance": 1.0, "limit": 300, "items_per_shard": 100}
    change(params, "syntheses", weak=weak, renders={"limit": 100}, unread={})
    few = {"synthesis": "weak", "prompts": 200}
    change(params, "variants", weak={"head": few}, rival={"head": few | {"masks": "otsu"}})
    change(params, "variants", true={"head": {"synthesis": "renders", "masks": "true"}})
    plan = Plan("embedded")
    assert plan.main == "main" and len(plan.main_images()) == 2
    needed = plan.needed()
    for folder in (
        "images/weak",
        "masks/weak/attentioncut",
        "masks/weak/otsu",
        "latents/weak/main",
    ):
        assert needed[folder] == plan.shards(folder)[:2]
    assert plan.head_masks(job(variant="rival")) == needed["masks/weak/otsu"]
    assert plan.head_masks(job(variant="true")) == needed["masks/renders/true"]
    assert "images/renders" in needed and "masks/renders/attentioncut" not in needed
    assert not any("/unread" in folder for folder in needed)
    assert {*plan.drawn} == {"main", "weak", "unread"}
    pattern = plan.stamps("synthesis", "{synthesis}")
    stamp = json.loads(Path(pattern.format(synthesis="weak")).read_text())
    assert stamp["synthesis"]["guidance"] == 1.0
    assert stamp["synthesis"]["steps"] == plan.settings.synthesis.steps


def test_the_main_set_may_be_any_other(checkout):
    change(checkout / "params.yaml", "syntheses", weak={"guidance": 1.0, "limit": 300})
    change(checkout / "params.yaml", "head", synthesis="weak")
    few = {"pairs-120": {"head": {"pairs": 120}}, "inversion": {}}
    params = yaml.safe_load((checkout / "params.yaml").read_text()) | {"variants": few}
    (checkout / "params.yaml").write_text(yaml.safe_dump(params))
    plan = Plan("embedded")
    assert plan.main_masks() == plan.needed()["masks/weak/attentioncut"]
    assert not any("/main/" in folder for folder in plan.needed() if folder.startswith("masks"))


def test_variants_name_the_inversion_and_the_masks_they_read(checkout):
    params = checkout / "params.yaml"
    change(params, "inversions", many={"steps": 50}, unused={"steps": 5})
    change(params, "variants", many={"features": {"inversion": "many"}})
    change(params, "variants", otsu={"head": {"masks": "otsu"}})
    plan = Plan("embedded")
    many, otsu = job(variant="many", benchmark="test"), job(variant="otsu", benchmark="test")
    needed = plan.needed()
    assert plan.head_latents(many) == needed["latents/main/many"]
    assert plan.head_latents(otsu) == needed["latents/main/main"]
    assert plan.head_masks(many) == needed["masks/main/attentioncut"]
    assert plan.head_masks(otsu) == needed["masks/main/otsu"]
    assert plan.prediction_latents(many) == needed["latents/test/many"]
    assert not any("unused" in folder for folder in needed)
    pattern = plan.stamps("prediction", "{variant}/{benchmark}")
    steps = {
        variant: load_sections(checkout / pattern.format(variant=variant, benchmark="test"))
        for variant in ("many", "otsu")
    }
    assert {name: each.inversion.steps for name, each in steps.items()} == {"many": 50, "otsu": 20}


def test_every_file_that_is_needed_is_of_one_target(checkout):
    plan = Plan("embedded")
    targets = plan.targets()
    of_shards = [path for paths in targets.values() for path in paths if "/head/" not in path]
    assert sorted(of_shards) == sorted(plan.needed_shards())
    assert {"images-main", "latents-benchmarks-main", "head-main", "predictions-pairs"} <= {
        *targets
    }
    heads = [path for path in sum(targets.values(), []) if "/head/" in path]
    assert sorted(heads) == sorted(map(plan.head, plan.settings.variants))


def test_shards_of_another_number_of_items_are_removed_and_no_others(checkout):
    plan = Plan("embedded")
    folder = Path(plan.artifact("images/main"))
    folder.mkdir(parents=True)
    kept = [*map(Path, plan.shards("images/main")), folder / "notes.safetensors"]
    stale = [folder / f"0000{index}-of-00003.safetensors" for index in range(3)]
    for path in (*kept, *stale):
        path.touch()
    plan.remove_stale_shards()
    assert sorted(folder.iterdir()) == sorted(kept)


def test_a_wildcard_is_one_of_the_names_alone():
    plan = Plan.__new__(Plan)
    assert plan.one_of(["a-b", "c"], but="c") == "a\\-b" and plan.one_of([]) == "(?!)"


def test_model_files_are_weights_and_configuration(checkout):
    folder = checkout / "base"
    for name in ("model_index.json", "unet/config.json", "unet/w.safetensors", "unet/notes.md"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text('{"_class_name": "P", "unet": ["diffusers", "UNet"]}')
    (folder / "README.md").write_text("a model card")
    (folder / "samples").mkdir()
    change(checkout / "params.yaml", "model", path="base")
    assert Plan("embedded").model() == [
        "base/model_index.json",
        "base/unet/config.json",
        "base/unet/w.safetensors",
    ]
    change(checkout / "params.yaml", "model", path="owner/name", revision="abc")
    plan = Plan("embedded")
    assert plan.model() == []
    plan.check_inputs()


def test_a_file_of_class_names_is_an_input(checkout):
    assert Plan("embedded").class_file() == []
    change(checkout / "params.yaml", "prompts", classes={"file": "data/names.txt"})
    plan = Plan("embedded")
    assert plan.class_file() == ["data/names.txt"]
    change(checkout / "params.yaml", "recordings", wrong={"noun": "wrong"})
    plan = Plan("embedded")
    read = {name for name in plan.settings.recordings if plan.other_nouns(job(recording=name))}
    assert read == {"wrong"}
    message = r"^prompts\.classes\.file: no file data/names\.txt: .*dseg data classes"
    with pytest.raises(DsegError, match=message):
        plan.check_inputs()
    (checkout / "data").mkdir()
    (checkout / "data" / "names.txt").write_text("ant\n")
    plan.check_inputs()


def test_missing_inputs_are_named(checkout):
    change(checkout / "params.yaml", "model", path="models/nothing")
    with pytest.raises(DsegError, match=r"^model\.path: no pipeline in models/nothing"):
        Plan("embedded").check_inputs()
    change(checkout / "params.yaml", "model", path="owner/name", revision="abc")
    benchmarks = {"ecssd": {"layout": "saliency", "root": "data/ecssd", "images": 1000}}
    change(checkout / "params.yaml", "benchmarks", **benchmarks)
    plan = Plan("embedded")
    with pytest.raises(DsegError, match=r"^benchmarks\.ecssd\.root: no folder data/ecssd"):
        plan.check_inputs()
    assert plan.benchmark_folder(job(benchmark="ecssd")) == "data/ecssd"
    assert plan.benchmark_folder(job(benchmark="val")) == "artifacts/embedded/world/val"


def test_only_a_run_that_demands_a_gpu_is_counted_by_them(checkout):
    assert Plan("embedded").gpus == 0  # device: auto
    for device, gpus in (("cuda", 1), ("cuda:1", 1), ("cpu", 0)):
        change(checkout / "params.yaml", "model", device=device)
        assert Plan("embedded").gpus == gpus


def test_snakemake_is_told_in_one_line_that_the_model_is_missing(checkout):
    change(checkout / "params.yaml", "model", path="models/nothing")
    with pytest.raises(SystemExit, match=r"^error: model\.path: no pipeline in models/nothing"):
        make_plan({})
    # The embedded model may be missing where it is about to be trained.
    (checkout / "models").unlink()
    change(checkout / "params.yaml", "model", path="models/dseg-tiny")
    assert make_plan({}).model() == ["models/dseg-tiny/model_index.json"]
    change(checkout / "params.yaml", "model", path="models/another")
    change(checkout / "params.yaml", "base", model="models/another")
    assert make_plan({}).model() == ["models/another/model_index.json"]


def test_a_limited_benchmark_has_fewer_shards(checkout):
    few = {"layout": "saliency", "root": "data/ecssd", "images": 1000, "limit": 200}
    change(checkout / "params.yaml", "benchmarks", ecssd=few)
    plan = Plan("embedded")
    per_shard = plan.settings.inversion.items_per_shard
    assert len(plan.needed()["latents/ecssd/main"]) == -(-200 // per_shard)
