import json

import pytest
import yaml

from dseg.errors import DsegError
from dseg.settings.fields import ClassFile, Section
from dseg.settings.reading import REPLACED, json_schema, load_sections, load_settings
from dseg.settings.run import Settings
from dseg.settings.sections import sections, settings_hash


@pytest.fixture
def default(root):
    return load_settings(root / "params.yaml")


@pytest.fixture
def changed(root, tmp_path):
    """Load the default settings with one file of overrides, given as YAML."""

    def load(text):
        path = tmp_path / "changes.yaml"
        path.write_text(text)
        return load_settings(root / "params.yaml", [path])

    return load


@pytest.fixture
def error_of(changed, root, tmp_path):
    """The message that an override leads to, without the folders of files."""

    def message(text):
        with pytest.raises(DsegError) as caught:
            changed(text)
        return str(caught.value).replace(f"{root}/", "").replace(f"{tmp_path}/", "")

    return message


@pytest.fixture
def subset(tmp_path):
    """Write some sections to a file, as the workflow does, and read them back."""

    def load(values):
        path = tmp_path / "stage.json"
        path.write_text(json.dumps(values))
        return load_sections(path)

    return load


def section_models(model=Settings):
    for info in model.model_fields.values():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            yield kind
            yield from section_models(kind)


def test_every_profile_is_valid_and_bears_its_folder_name(root):
    profiles = sorted((root / "workflow" / "profiles").glob("*/params.yaml"))
    assert "smoke" in [path.parent.name for path in profiles]
    for path in profiles:
        assert load_settings(root / "params.yaml", [path]).profile == path.parent.name


def test_schema_file_is_up_to_date(root):
    text = (root / "workflow" / "schemas" / "params.schema.json").read_text()
    assert json.loads(text) == json_schema()


def test_schema_accepts_the_settings_and_refuses_unknown_keys(root):
    jsonschema = pytest.importorskip("jsonschema")
    values = yaml.safe_load((root / "params.yaml").read_text())
    jsonschema.validate(values, json_schema())
    values["head"]["epoch"] = 3
    with pytest.raises(jsonschema.ValidationError, match="epoch"):
        jsonschema.validate(values, json_schema())


def test_values_have_one_home_so_models_have_no_defaults():
    for model in (Settings, *section_models()):
        assert [key for key, info in model.model_fields.items() if not info.is_required()] == []


def test_settings_cannot_be_changed(default):
    with pytest.raises(ValueError, match="frozen"):
        default.seed = 1
    assert isinstance(default.inversion.timesteps, tuple)
    assert isinstance(default.attention.cross_strides, tuple)
    assert isinstance(default.attentioncut.area, tuple)


def test_groups_merge_and_lists_replace(changed, default):
    settings = changed("synthesis: {steps: 3}\nattention: {timesteps: [0.0, 1.0]}")
    assert settings.synthesis.steps == 3
    assert settings.synthesis.guidance == default.synthesis.guidance
    assert settings.attention.timesteps == (0.0, 1.0)


def test_sets_replace(changed):
    settings = changed(
        "variants: {clean: {features: {source: clean}}}\nworld: {images: {val: 5}}\n"
        "benchmarks: {val: {layout: saliency, root: world/val, images: 5}}"
    )
    assert list(settings.variants) == ["clean"]
    assert list(settings.benchmarks) == ["val"]
    assert settings.world.images == {"val": 5}
    sets = {key for key, info in Settings.model_fields.items() if "Mapping" in str(info.annotation)}
    assert {*REPLACED} == sets | {"world.images"}


def test_later_overrides_win(root, tmp_path):
    for name, seed in (("a", 1), ("b", 2)):
        (tmp_path / name).write_text(f"seed: {seed}")
    paths = [tmp_path / "a", tmp_path / "b"]
    assert load_settings(root / "params.yaml", paths).seed == 2
    assert load_settings(root / "params.yaml", paths[::-1]).seed == 1


def test_variant_merges_its_overrides(default):
    features, head = default.variant("clean")
    assert (features.source, features.timesteps) == ("clean", (0.0,))
    assert features.strides == default.features.strides
    assert head == default.head
    assert default.variant("pairs-120")[1].pairs == 120
    assert default.variant("inversion") == (default.features, default.head)
    with pytest.raises(DsegError, match="no variant 'rgbd'; there are inversion, noise"):
        default.variant("rgbd")
    with pytest.raises(DsegError, match="no benchmark 'ecssd'; there are val, test"):
        default.benchmark("ecssd")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sed: 3", "changes.yaml: sed: unknown key; did you mean 'seed'?"),
        ("attentioncut: {taau: 1}", "attentioncut.taau: unknown key; did you mean 'tau'?"),
        ("variants: {a: {head: {epoch: 1}}}", "variants.a.head.epoch: unknown key; did you mean"),
        ("variants: {a: {haed: {}}}", "variants.a.haed: unknown key; did you mean 'head'?"),
        ("base: {unet: {image: 3}}", "base.unet.image: unknown key; did you mean 'images'?"),
        ("model: {zzz: 1}", "model.zzz: unknown key; expected one of path, revision, dtype"),
        ("world: {images: {train: 3}}", "world.images.train: unknown key; expected 'val', 'test'"),
        ("seed: -1", "changes.yaml: seed: expected greater than or equal to 0, got -1"),
        ("seed: 1.5", "seed: expected an integer, got 1.5"),
        ("seed: null", "seed: expected an integer, got null"),
        ("inversion: {fixed_point: 1000000000}", "fixed_point: expected less than or equal to 100"),
        ("synthesis: {steps: 1000000000}", "steps: expected less than or equal to 1000"),
        ("head: {width: 100000000}", "width: expected less than or equal to 4096"),
        ("head: {batch_size: true}", "head.batch_size: expected an integer, got true"),
        ("head: {pixels: 1}", "head.pixels: expected a boolean, got 1"),
        ("head: {input: RGB}", "head.input: expected 'features' or 'rgb', got \"RGB\""),
        ("head: {learning_rate: .nan}", "head.learning_rate: expected a finite number"),
        ("head: {learning_rate: '2e-3'}", 'head.learning_rate: expected a number, got "2e-3"'),
        ("features: {timesteps: [1.5]}", "features.timesteps.0: expected less than or equal to 1"),
        ("attentioncut: {area: [0.1]}", "attentioncut.area: expected [low, high], got [0.1]"),
        ("attentioncut: {area: [0.3, 0.1]}", "attentioncut.area: expected ascending numbers"),
        ("features: {strides: 4}", "features.strides: expected a list, got 4"),
        ("features: {strides: []}", "features.strides: expected at least one item, got []"),
        ("prompts: {classes: [a, a]}", "prompts.classes: expected every item once"),
        ("synthesis: 3", "synthesis: expected `key: value` pairs, got 3"),
        ("variants: {b_c: {}}", "variants.b_c: expected lower-case letters and digits"),
        ("variants: {}", "variants: expected at least one entry"),
        ("profile: My run", "profile: expected lower-case letters and digits, joined by hyphens"),
        ("seed: 1\nseed: 2", "changes.yaml: line 2: not valid YAML: key 'seed' occurs twice"),
        ("seed: [", "changes.yaml: line 1: not valid YAML"),
        ("? [a]\n: b", "changes.yaml: line 1: not valid YAML"),
        ("- seed", "changes.yaml: expected settings as `key: value`"),
        (
            "features: {timesteps: [0.2]}",
            "changes.yaml: features.timesteps: expected some of inversion.timesteps [0.0, 0.1, 0.3]"
            " with source: inversion, got [0.2]",
        ),
        (
            "variants: {a: {features: {timesteps: [0.2]}}}",
            "changes.yaml: variants.a.features.timesteps: expected some of inversion.timesteps",
        ),
        (
            "variants: {a: {features: {source: clean}}, b: {}}\nrecordings: {c: {}}\n"
            "mask_methods: {a: {method: otsu, recording: c}}\n"
            "inversion: {timesteps: [0.0]}",
            "params.yaml: features.timesteps: expected some of inversion.timesteps [0.0]",
        ),
        (
            "recording: {latents: inversion}",
            "params.yaml: recording.timesteps: expected some of inversion.timesteps",
        ),
        (
            "variants: {a: {features: {inversion: other}}}",
            "changes.yaml: variants.a.features.inversion: expected one of inversions (main), got",
        ),
        (
            "inversions: {main: {}, few: {timesteps: [0.0]}}\n"
            "variants: {a: {features: {inversion: few}}}",
            "features.timesteps: expected some of inversion.timesteps [0.0] with source",
        ),
        (
            "variants: {a: {features: {maps: [attention]}}}",
            "params.yaml: features.prompt: expected {noun} or the word object, whose attention",
        ),
        (
            "variants: {a: {head: {masks: guess}}}",
            "variants.a.head.masks: expected attentioncut, oracle or another of mask_methods, got",
        ),
        ("head: {pairs: 481}", "changes.yaml: head.pairs: expected at most the 480 images"),
        ("prompts: {count: 200}", "variants.pairs-240.head.pairs: expected at most the 200"),
        ("head: {prompts: 481}", "changes.yaml: head.prompts: expected at most the 480 images"),
        (
            "{head: {prompts: 9, pairs: 10}, variants: {a: {}}}",
            "head.pairs: expected at most head.prom",
        ),
        ("head: {synthesis: other}", "head.synthesis: expected one of syntheses (main), got"),
        ("instruments: {scored: 481}", "instruments.scored: expected at most the 480 images of"),
        (
            "instruments: {scored: 400}\nsynthesis: {limit: 300}",
            "instruments.scored: expected at most the 300 images of synthesis main, got 400",
        ),
        (
            "instruments: {scored: 80}\nworld: {images: {test: 8}}\n"
            "benchmarks: {test: {layout: saliency, root: world/test, images: 8}}",
            "world.images: expected val among them, on which the oracle that instruments.scored",
        ),
        ("mask_methods: {oracle: {method: otsu}}", "mask_methods.oracle: expected another name"),
        ("evaluation: {postprocessed: [guess]}", "evaluation.postprocessed: expected some of rec"),
        ("syntheses: {weak: {}}", "head.synthesis: expected one of syntheses (weak), got 'main'"),
        (
            "syntheses: {main: {}, val: {}}",
            "benchmarks.val: expected another name: syntheses has it already",
        ),
        (
            "variants: {attentioncut-noise: {}}",
            "variants.attentioncut-noise: expected another name: recordings has it already",
        ),
        ("head: {masks: 'true'}", "head.masks: expected attentioncut, oracle or another of"),
        (
            "{syntheses: {main: {}, renders: {}}, variants: {a: {head: {synthesis: renders}}}}",
            "head.masks: expected true, all that renders have, got 'attentioncut'",
        ),
        (
            "{syntheses: {renders: {}}, head: {synthesis: renders, masks: 'true'}}",
            "head.synthesis: expected another of syntheses: renders have no attention",
        ),
        (
            "{syntheses: {main: {}, weak: {limit: 9}}, "
            "variants: {a: {head: {synthesis: weak, pairs: 10}}}}",
            "variants.a.head.pairs: expected at most the 9 images that there are, got 10",
        ),
        ("prompts: {contexts: []}", "prompts.contexts: expected at least one item for"),
        ("prompts: {templates: [a photo]}", "prompts.templates: expected {noun} once"),
        ("prompts: {templates: ['{noun} {x}']}", "prompts.templates: expected {noun} once"),
        ("prompts: {templates: ['{article}']}", "prompts.templates: expected {noun} once"),
        ("prompts: {templates: ['{noun} {']}", "prompts.templates: expected {noun} once"),
        (
            "benchmarks: {val: {layout: saliency, root: world/val, images: 9}}",
            "changes.yaml: benchmarks.val.images: expected world.images.val = 96, got 9",
        ),
        (
            "benchmarks: {val: {layout: saliency, root: world/vla, images: 9}}",
            "benchmarks.val.root: expected world/ and one of world.images (val, test, shift, mul",
        ),
        (
            "benchmarks: {val: {layout: saliency, root: 'data/{x}', images: 9}}",
            "changes.yaml: benchmarks.val.root: expected a path without braces, line breaks or a",
        ),
        ("prompts: {classes: {file: 'a, b.txt'}}", "prompts.classes.file: expected a path without"),
        ('model: {path: "a\\nb"}', "changes.yaml: model.path: expected a path without braces"),
        (
            "evaluation: {protocols: [curve]}",
            "evaluation.protocol: expected one of evaluation.protocols (curve), got 'tokencut'",
        ),
        (
            "evaluation: {modes: [single]}",
            "evaluation.mode: expected one of evaluation.modes (single), got 'multi'",
        ),
        (
            "evaluation: {postprocessing: [bilateral-found]}",
            "changes.yaml: evaluation.postprocessing: expected 'none' among them",
        ),
    ],
)
def test_one_mistake_is_one_clear_line(error_of, text, message):
    said = error_of(text)
    assert message in said
    assert "\n" not in said


def test_settings_that_are_not_read_together_are_not_held_against_each_other(changed):
    settings = changed(
        "variants: {rgb: {head: {input: rgb}}, noise: {features: {source: noise}}}\n"
        "features: {timesteps: [0.25]}\n"
        "benchmarks: {ecssd: {layout: saliency, root: data/ecssd, images: 1000}}"
    )
    assert settings.features.timesteps == (0.25,)


def test_several_mistakes_are_one_line_each_and_not_too_many(error_of):
    assert error_of("seed: -1\nsed: 3").count("\n") == 1
    many = error_of("head: {a: 1, b: 1, c: 1, d: 1, e: 1, f: 1, g: 1}").splitlines()
    assert len(many) == 6
    assert many[-1] == "and 2 more"


def test_missing_files_and_keys_are_named(tmp_path):
    path = tmp_path / "params.yaml"
    with pytest.raises(DsegError, match=r"params\.yaml: cannot read settings: No such file"):
        load_settings(path)
    path.write_text("seed: 1")
    with pytest.raises(DsegError, match=r"params\.yaml: profile: missing"):
        load_settings(path)


def test_sections_take_what_is_named_and_nothing_else(default):
    taken = sections(default, "seed", "features.prompt", "features.source", "variants.noise")
    assert taken == {
        "seed": 0,
        "features": {"prompt": "", "source": "inversion"},
        "variants": {"noise": {"features": {"source": "noise"}}},
    }
    assert json.loads(json.dumps(sections(default))) == sections(default)
    assert sections(default, "head", "head.width") == {"head": sections(default)["head"]}
    with pytest.raises(DsegError, match="no setting 'features.promt'; did you mean 'prompt'"):
        sections(default, "features.promt")
    with pytest.raises(DsegError, match="no setting 'seed.x'"):
        sections(default, "seed.x")


def test_sections_come_back_as_the_same_settings(default, subset):
    settings = subset(sections(default, "seed", "attentioncut", "features", "head", "variants.rgb"))
    assert settings.attentioncut == default.attentioncut
    assert settings.variant("rgb") == default.variant("rgb")
    whole = subset(sections(default))
    assert whole == default
    taken = sections(default, "inversion.timesteps", "model")
    assert sections(subset(taken)) == taken


def test_what_a_stage_did_not_declare_cannot_be_read(default, subset):
    settings = subset(sections(default, "features.prompt"))
    assert settings.features.prompt == ""
    with pytest.raises(DsegError, match="setting 'head' was not given to this stage"):
        settings.head.epochs  # noqa: B018
    with pytest.raises(DsegError, match=r"setting 'features\.timesteps' was not given"):
        settings.features.timesteps  # noqa: B018
    with pytest.raises(AttributeError):
        settings.features.colour  # noqa: B018


def test_sections_are_validated(subset):
    with pytest.raises(DsegError, match=r"stage\.json: head\.epochs: expected greater than"):
        subset({"head": {"epochs": 0}})
    with pytest.raises(DsegError, match=r"stage\.json: haed: unknown key; did you mean 'head'"):
        subset({"haed": {}})
    with pytest.raises(DsegError, match="missing"):
        subset({"benchmarks": {"val": {"layout": "saliency"}}})


def test_classes_are_a_list_or_in_a_file(changed, subset, error_of):
    text = "prompts: {classes: {file: data/names.txt}, templates: ['{article} {noun}']}"
    settings = changed(text)
    assert settings.prompts.classes == ClassFile(file="data/names.txt")
    assert settings.prompts.templates == ("{article} {noun}",)
    again = subset(sections(settings, "prompts"))
    assert again.prompts == settings.prompts
    assert changed("prompts: {classes: [ant, bee]}").prompts.classes == ("ant", "bee")
    for change, message in (
        ("[]", "prompts.classes: expected at least one item, got []"),
        ("[ant, 3]", "prompts.classes.1: expected a string, got 3"),
        ("[ant, ant]", "prompts.classes: expected every item once"),
        ("names.txt", "prompts.classes: expected a list, got"),
        ("{}", "prompts.classes.file: missing"),
        ("{file: ''}", "prompts.classes.file: expected text to have at least 1 character"),
        ("{fil: names.txt}", "prompts.classes.fil: unknown key; did you mean 'file'?"),
    ):
        assert message in error_of(f"prompts: {{classes: {change}}}")


def test_hash_depends_on_values_only(default, changed):
    mapping = sections(default, "seed", "head")
    assert settings_hash(mapping) == settings_hash(dict(reversed(mapping.items())))
    assert len(settings_hash(mapping)) == 16
    assert int(settings_hash(mapping), 16) >= 0
    other = changed("head: {width: 33}")
    assert settings_hash(sections(other, "seed", "head")) != settings_hash(mapping)
    assert settings_hash(sections(other, "seed")) == settings_hash(sections(default, "seed"))
    # a whole number is the same setting as the float it is read as
    assert sections(changed("synthesis: {guidance: 3}"), "synthesis") == sections(
        default, "synthesis"
    )
    # recorded in shards: a change of this function would make every artifact look stale
    assert settings_hash({"b": [1, 2.5], "a": None}) == "e57f5d37865437a8"
