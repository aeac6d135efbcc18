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


def test_shards_hold_all_items(checkout):
    change(checkout / "params.yaml", "prompts", count=5001)
    change(checkout / "params.yaml", "synthesis", items_per_shard=2000, limit=None)
    plan = Plan("embedded")
    folder = "artifacts/embedded/masks"
    shards = [f"{folder}/{index:05d}-of-00003.safetensors" for index in range(3)]
    assert plan.synthetic_shards("masks") == shards
    assert plan.indices(shards) == [f"{folder}/index.parquet"]
    assert plan.indices(shards[:2]) == []


def test_methods_are_run_on_the_benchmarks_where_they_are_shown(checkout):
    plan = Plan("embedded")
    settings = plan.settings

    def benchmarks(shards):
        return {path.split("/")[4] for path in shards}

    def of(name):
        return [path for path in plan.prediction_shards() if path.split("/")[3] == name]

    held_out, boxes = comparison.held_out(settings), comparison.box_benchmarks(settings)
    assert benchmarks(of("inversion")) == {*held_out, *boxes}
    assert benchmarks(of("noise")) == {*held_out}
    assert benchmarks(plan.mask_method_shards()) == {*comparison.mask_benchmarks(settings)}
    assert {*plan.mask_method_shards()} <= {*plan.recording_shards("recording")}
    predicted = {*plan.prediction_shards(), *plan.recording_shards("recording_masks")}
    assert {*plan.evaluated_shards()} == predicted


def test_a_job_gets_latents_and_model_only_if_it_reads_them(checkout):
    plan = Plan("embedded")
    inverted, rgb = job(variant="inversion", benchmark="test"), job(variant="rgb", benchmark="test")
    assert plan.head_latents(inverted) == plan.synthetic_shards("inversion/main")
    assert plan.head_latents(rgb) == plan.prediction_latents(rgb) == plan.head_model(rgb) == []
    assert {*plan.prediction_latents(inverted)} <= {*plan.inversion_shards()}
    noised = job(recording="attentioncut-noise", benchmark="test")
    of_latents = job(recording="attentioncut-inversion", benchmark="test")
    assert plan.recording_latents(noised) == []
    assert plan.recording_latents(of_latents) == plan.prediction_latents(inverted)


def test_a_head_reads_the_shards_of_its_first_prompts_alone(checkout):
    params = checkout / "params.yaml"
    change(params, "inversions", few={"steps": 5})
    few = {"features": {"inversion": "few"}, "head": {"prompts": 240, "pairs": 9, "masks": "otsu"}}
    change(params, "variants", few=few)
    plan = Plan("embedded")
    every, part = plan.synthetic_shards("inversion/few"), job(variant="few", benchmark="test")
    assert plan.head_images(part) == plan.synthetic_shards("synthesis")[:1]
    assert plan.head_latents(part) == every[:1]
    assert (
        plan.head_masks(part)
        == plan.mask_set_shards()
        == plan.synthetic_shards("mask_sets/otsu")[:1]
    )
    made = plan.synthetic_inversion_shards()
    assert sorted(made) == sorted(plan.synthetic_shards("inversion/main") + every[:1])
    assert plan.complete(made) == plan.synthetic_shards("inversion/main")
    assert plan.indices(made) == ["artifacts/embedded/inversion/main/index.parquet"]
    assert plan.indices(plan.mask_set_shards()) == []


def test_the_longest_head_is_that_with_most_pairs(checkout):
    params = checkout / "params.yaml"
    change(params, "variants", long={"head": {"pairs": 400, "epochs": 99}})
    assert Plan("embedded").longest_head() == "artifacts/embedded/head/long/head.safetensors"


def test_an_oracle_is_asked_only_where_the_settings_say_so(checkout):
    plan = Plan("embedded")
    assert plan.mask_set_shards() == plan.scored_shards("synthesis") == []
    assert plan.synthetic_masks() == plan.quality() == []
    per_shard = plan.settings.synthesis.items_per_shard
    change(checkout / "params.yaml", "instruments", scored=per_shard)
    plan = Plan("embedded")
    (judged,) = plan.scored_shards("mask_sets/oracle")  # of two shards
    assert judged == plan.synthetic_shards("mask_sets/oracle")[0]
    assert plan.mask_set_shards() == [judged]
    assert plan.synthetic_masks() == ["artifacts/embedded/synthetic_masks/images.parquet"]
    assert plan.quality() == ["artifacts/embedded/instruments/quality.json"]
    assert "results/embedded/tables/mask-methods-synthetic.csv" in plan.tables("csv")
    change(checkout / "params.yaml", "variants", taught={"head": {"masks": "oracle"}})
    plan = Plan("embedded")
    learnt = plan.head_masks(job(variant="taught", benchmark="test"))
    assert learnt == plan.mask_set_shards() == plan.synthetic_shards("mask_sets/oracle")


def test_scoring_more_images_trains_no_instrument_again(checkout):
    before = (checkout / Plan("embedded").stamp("instruments")).read_text()
    change(checkout / "params.yaml", "instruments", scored=100)
    assert (checkout / Plan("embedded").stamp("instruments")).read_text() == before


def test_further_syntheses_have_folders_of_their_own(checkout):
    params = checkout / "params.yaml"
    weak = {"guidance": 1.0, "limit": 300, "items_per_shard": 100}
    change(params, "syntheses", weak=weak, renders={"limit": 100}, unread={})
    change(params, "variants", weak={"head": {"synthesis": "weak", "prompts": 200}})
    change(params, "variants", true={"head": {"synthesis": "renders", "masks": "true"}})
    plan = Plan("embedded")
    assert plan.synthetic_shards("synthesis")[-1].endswith("synthesis/00001-of-00002.safetensors")
    weak, true = job(variant="weak", benchmark="test"), job(variant="true", benchmark="test")
    folder, name = "artifacts/embedded", "00001-of-00003.safetensors"
    assert plan.head_images(weak)[1:] == [f"{folder}/syntheses/weak/{name}"]
    assert plan.head_masks(weak)[1:] == [f"{folder}/syntheses_masks/weak/{name}"]
    assert plan.head_latents(weak)[1:] == [f"{folder}/syntheses_inversion/weak/main/{name}"]
    name = "00000-of-00001.safetensors"
    assert plan.head_images(true) == [f"{folder}/renders/images/{name}"]
    assert plan.head_masks(true) == [f"{folder}/renders/masks/{name}"]
    assert plan.head_latents(true) == [f"{folder}/syntheses_inversion/renders/main/{name}"]
    images = job(synthesis="renders", shard="00000", total="00001")
    assert plan.inverted_images(images) == f"{folder}/renders/images/{name}"
    further = plan.further_shards()
    assert {*plan.head_images(weak), *plan.head_masks(true), *plan.head_latents(weak)} <= {*further}
    assert not any("unread" in path for path in further)
    plan.stamps("synthesis", "{synthesis}")
    stamp = json.loads(Path(f"{folder}/settings/synthesis/weak.json").read_text())
    assert stamp["synthesis"]["guidance"] == 1.0
    assert stamp["synthesis"]["steps"] == plan.settings.synthesis.steps


def test_variants_name_the_inversion_and_the_masks_they_read(checkout):
    params = checkout / "params.yaml"
    change(params, "inversions", many={"steps": 50}, unused={"steps": 5})
    change(params, "variants", many={"features": {"inversion": "many"}})
    change(params, "variants", otsu={"head": {"masks": "otsu"}})
    plan = Plan("embedded")
    many, otsu = job(variant="many", benchmark="test"), job(variant="otsu", benchmark="test")
    assert plan.head_latents(many) == plan.synthetic_shards("inversion/many")
    assert plan.head_latents(otsu) == plan.synthetic_shards("inversion/main")
    assert plan.head_masks(many) == plan.synthetic_shards("masks")
    assert plan.head_masks(otsu) == plan.mask_set_shards()
    assert plan.mask_set_shards() == plan.synthetic_shards("mask_sets/otsu")
    made = plan.synthetic_inversion_shards()
    assert made == plan.synthetic_shards("inversion/main") + plan.synthetic_shards("inversion/many")
    assert {*plan.prediction_latents(many)} <= {*plan.inversion_shards()}
    assert not any("unused" in path for path in plan.inversion_shards())
    pattern = plan.stamps("prediction", "{variant}/{benchmark}")
    steps = {
        variant: load_sections(checkout / pattern.format(variant=variant, benchmark="test"))
        for variant in ("many", "otsu")
    }
    assert {name: each.inversion.steps for name, each in steps.items()} == {"many": 50, "otsu": 20}


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


def test_a_limited_benchmark_has_fewer_shards(checkout):
    few = {"layout": "saliency", "root": "data/ecssd", "images": 1000, "limit": 200}
    change(checkout / "params.yaml", "benchmarks", ecssd=few)
    plan = Plan("embedded")
    per_shard = plan.settings.inversion.items_per_shard
    shards = [path for path in plan.inversion_shards() if "/ecssd/" in path]
    assert len(shards) == -(-200 // per_shard)
