"""The embedded world: determinism, exact annotations, and a training path without masks."""

import ast
import csv
import inspect
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from dseg.errors import DsegError
from dseg.orchestration.provenance import sources
from dseg.stages.world import run
from dseg.world import objects, renderer
from dseg.world.backgrounds import BACKGROUNDS, SHIFT_CONTEXTS, TRAIN_CONTEXTS
from dseg.world.captions import GENERIC, VOCABULARY
from dseg.world.kinds import KIND_NAMES, KINDS, SPRITE_SIZE, VARIANTS, sprite
from dseg.world.renderer import Scenes, annotated_scenes, captioned_images
from dseg.world.splits import SPLITS, draw_split, split_seed

BLOCK = len(KIND_NAMES) * len(TRAIN_CONTEXTS)
# The only modules that may touch annotations of the world: they render, judge or show.
ANNOTATED = {
    "dseg/world/renderer.py",
    "dseg/world/splits.py",
    "dseg/stages/world.py",
    "dseg/embedded/instruments.py",
    "dseg/world/renders.py",
    "dseg/demo/viewer.py",
}
METHOD = ("prompts", "synthesis", "attentioncut", "inversion", "mask_sets", "head", "prediction")
# What the training path may take from the renderer.
UNANNOTATED = {"captioned_images"}
GUARDED = {"dseg.world.renderer", "dseg.world.objects", "dseg.world.splits"}
# Names that mean annotations wherever they stand, as in `world.draw_split`.
TELLING = {"annotated_scenes", "Scenes", "visible_regions", "draw_split"}


@pytest.fixture(scope="module")
def scenes() -> Scenes:
    return annotated_scenes(BLOCK, 11)


@pytest.fixture(scope="module")
def crowded() -> Scenes:
    return annotated_scenes(48, 12, objects=(2, 3))


def settings(count: int, size: int = 32, seed: int = 0, strength: float = 0.5) -> SimpleNamespace:
    world = SimpleNamespace(size=size, images=dict.fromkeys(SPLITS, count), shift_strength=strength)
    return SimpleNamespace(seed=seed, world=world)


def read_table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_an_image_depends_on_its_seed_and_number_only() -> None:
    images, captions = captioned_images(30, 3)
    head, _ = captioned_images(7, 3)
    tail, tail_captions = captioned_images(10, 3, start=20)
    np.testing.assert_array_equal(images[:7], head)
    np.testing.assert_array_equal(images[20:], tail)
    assert captions[20:] == tail_captions
    other, _ = captioned_images(30, 4)
    assert (images != other).any((1, 2, 3)).all()


def test_annotated_scenes_are_deterministic_and_unseen_in_training() -> None:
    first, again = annotated_scenes(12, 3), annotated_scenes(15, 3)
    np.testing.assert_array_equal(first.images, again.images[:12])
    np.testing.assert_array_equal(first.masks, again.masks[:12])
    assert first.captions == again.captions[:12]
    images, _ = captioned_images(12, 3)
    assert (images != first.images).any((1, 2, 3)).all()


def test_kinds_and_contexts_are_balanced(scenes: Scenes) -> None:
    pairs = Counter(zip(scenes.kinds, scenes.contexts, strict=True))
    assert len(pairs) == BLOCK and set(pairs.values()) == {1}
    for start in range(0, BLOCK, len(KIND_NAMES)):
        assert set(scenes.kinds[start : start + len(KIND_NAMES)]) == set(KIND_NAMES)


def test_captions_use_the_vocabulary_and_its_grammar() -> None:
    assert len(set(VOCABULARY)) == len(VOCABULARY)
    _, captions = captioned_images(600, 0, size=8, contextless=0.3, generic=0.2)
    words = {word for caption in captions for word in caption.split()}
    assert words == set(VOCABULARY) - set(SHIFT_CONTEXTS)
    generic = [caption for caption in captions if GENERIC in caption.split()]
    assert all(caption.startswith("a photo of an object") for caption in generic)
    assert 0.13 < len(generic) / len(captions) < 0.27
    contextless = [caption for caption in captions if " on " not in caption]
    assert 0.23 < len(contextless) / len(captions) < 0.37


def test_the_caption_shares_do_not_change_the_images() -> None:
    plain, captions = captioned_images(12, 5, contextless=0.0, generic=0.0)
    mixed, _ = captioned_images(12, 5, contextless=1.0, generic=1.0)
    np.testing.assert_array_equal(plain, mixed)
    expected = {f"a photo of a {k} on {c}" for k in KIND_NAMES for c in TRAIN_CONTEXTS}
    assert set(captions) <= expected


def test_areas_are_those_of_a_main_object(scenes: Scenes) -> None:
    areas = scenes.masks.mean((1, 2))
    assert areas.min() > 0.08 and areas.max() < 0.4
    assert 0.17 < areas.mean() < 0.26


def flood(region: np.ndarray, start: tuple[int, int]) -> np.ndarray:
    """The 4-connected part of a region that holds `start`; the region must not touch the rim."""
    reached = np.zeros_like(region)
    reached[start] = True
    before = 0
    while reached.sum() != before:
        before = reached.sum()
        for axis in (0, 1):
            for step in (1, -1):
                reached |= np.roll(reached, step, axis) & region
    return reached


@pytest.mark.parametrize("name", KIND_NAMES)
def test_each_kind_is_one_piece_with_its_own_palette(name: str) -> None:
    kind = KINDS[name]
    for variant in range(VARIANTS):
        labels = sprite(name, variant)
        assert labels.shape == (SPRITE_SIZE, SPRITE_SIZE)
        rim = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
        assert not rim.any(), "looking up outside the sprite must give background"
        assert set(np.unique(labels)) == set(range(len(kind.palette) + 1))
        inside = labels[::2, ::2] > 0
        row, column = np.argwhere(inside)[0]
        loose = inside & ~flood(inside, (row, column))
        assert loose.sum() <= 1, "but for the last pixel of a cusp"
    assert kind.palette not in [KINDS[other].palette for other in KIND_NAMES if other != name]


@pytest.mark.parametrize("name", KIND_NAMES)
def test_donut_gear_and_key_have_a_hole_and_the_others_have_none(name: str) -> None:
    outside = sprite(name, 0)[::2, ::2] == 0
    hole = outside & ~flood(outside, (0, 0))
    assert (hole.mean() > 0.02) == (name in ("donut", "gear", "key"))


@pytest.mark.parametrize("domain", ["train", "shift"])
def test_the_mask_is_the_object(domain: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rendering again in black and in white changes the pixels of the mask, and no others."""
    drawn = []
    for value in (0.0, 1.0):
        with monkeypatch.context() as patch:
            patch.setattr(objects, "_palette", lambda kind, _, value=value: _flat(kind, value))
            patch.setattr(renderer, "degrade", lambda image, *_: image)  # blur crosses the border
            drawn.append(annotated_scenes(24, 8, domain=domain, objects=(1, 3)))
    black, white = drawn
    np.testing.assert_array_equal(black.masks, white.masks)
    change = white.images.astype(int).max(-1) - black.images.max(-1)
    full = np.where(black.masks, change, 255)
    assert full.min() > 60, "a pixel of the mask shows at least half of the object"
    # Less than half covered: at most a quarter of the object's brightness gets in.
    assert np.where(black.masks, 0, change).max() < 90
    assert (np.where(black.masks, 0, change) == 0).mean() > 0.9


def _flat(kind: str, value: float) -> np.ndarray:
    table = np.full((len(KINDS[kind].palette) + 1, 4), value, np.float32)
    table[:, 3] = 1
    table[0] = 0
    return table


def test_boxes_are_tight_around_single_objects(scenes: Scenes) -> None:
    for mask, boxes in zip(scenes.masks, scenes.boxes, strict=True):
        ((x0, y0, x1, y1),) = boxes
        assert mask[y0:y1, x0:x1].sum() == mask.sum()
        assert mask[y0:y1, x0].any() and mask[y0:y1, x1 - 1].any()
        assert mask[y0, x0:x1].any() and mask[y1 - 1, x0:x1].any()


def test_several_objects_hardly_overlap(crowded: Scenes) -> None:
    counts = Counter(len(boxes) for boxes in crowded.boxes)
    assert set(counts) == {2, 3}
    for index, (mask, boxes) in enumerate(zip(crowded.masks, crowded.boxes, strict=True)):
        names = crowded.names[index]
        assert len(names) == len(set(names)) == len(boxes)
        assert names[0] == crowded.kinds[index]
        assert f" {names[0]} " in crowded.captions[index]
        covered = np.zeros_like(mask)
        for x0, y0, x1, y1 in boxes:
            covered[y0:y1, x0:x1] = True
        assert not (mask & ~covered).any()
        assert mask.mean() > 0.04 * len(boxes), "no object is hidden behind another"


def test_visible_regions_are_disjoint_and_the_last_object_is_on_top() -> None:
    generator = np.random.default_rng(0)
    items = [objects.place_objects([name], 48, generator)[0] for name in ("ball", "gift", "moon")]
    regions = objects.visible_regions(items)
    assert np.sum(regions, axis=0).max() == 1
    np.testing.assert_array_equal(regions[-1], items[-1].region)
    union = np.any([item.region for item in items], axis=0)
    np.testing.assert_array_equal(np.any(regions, axis=0), union)


def test_shift_of_strength_zero_is_the_training_domain() -> None:
    train = annotated_scenes(16, 9)
    shift = annotated_scenes(16, 9, domain="shift", shift_strength=0)
    np.testing.assert_array_equal(train.images, shift.images)
    assert train.captions == shift.captions


def test_shift_grows_with_its_strength_and_keeps_the_masks() -> None:
    drawn = [
        annotated_scenes(48, 9, domain="shift", shift_strength=strength)
        for strength in (0.0, 0.01, 0.5, 1.0)
    ]
    distances = [np.abs(s.images.astype(int) - drawn[0].images).mean() for s in drawn]
    assert distances[1] < 2 < 10 < distances[2] < distances[3]
    for other in drawn[1:]:
        np.testing.assert_array_equal(drawn[0].masks, other.masks)
    assert not set(drawn[0].contexts) & set(SHIFT_CONTEXTS)
    unseen = [sum(context in SHIFT_CONTEXTS for context in s.contexts) for s in drawn]
    assert 0 < unseen[2] < unseen[3]


def test_training_and_annotated_images_have_one_distribution() -> None:
    images, _ = captioned_images(BLOCK, 1)
    other = annotated_scenes(BLOCK, 1).images
    assert np.abs(images.mean((0, 1, 2)) - other.mean((0, 1, 2))).max() < 6
    assert np.abs(images.std((0, 1, 2)) - other.std((0, 1, 2))).max() < 6


@pytest.mark.parametrize("size", [32, 128])
def test_other_sizes_show_the_same_objects(size: int) -> None:
    small, other = annotated_scenes(12, 2), annotated_scenes(12, 2, size=size)
    assert other.images.shape == (12, size, size, 3)
    assert small.captions == other.captions
    np.testing.assert_allclose(small.masks.mean((1, 2)), other.masks.mean((1, 2)), atol=0.02)


@pytest.mark.parametrize("bad", [{"objects": (0, 1)}, {"objects": (3, 2)}, {"shift_strength": 2}])
def test_arguments_out_of_range_are_refused(bad: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        annotated_scenes(1, 0, domain="shift", **bad)


def test_every_background_has_a_role() -> None:
    assert set(BACKGROUNDS) == {*TRAIN_CONTEXTS, *SHIFT_CONTEXTS}
    assert not set(TRAIN_CONTEXTS) & set(SHIFT_CONTEXTS)


def test_seeds_of_splits_differ() -> None:
    seeds = {split_seed(run_seed, name) for run_seed in range(3) for name in SPLITS}
    assert len(seeds) == 3 * len(SPLITS)
    assert min(seeds) > 2**32, "training uses small run seeds"


def test_mild_and_harsh_are_the_scenes_of_shift() -> None:
    mild, shift, harsh = (draw_split(name, 0, 24, size=32) for name in ("mild", "shift", "harsh"))
    for other in (mild, harsh):
        np.testing.assert_array_equal(other.masks, shift.masks)
        assert other.kinds == shift.kinds
    plain = draw_split("shift", 0, 24, size=32, shift_strength=0).images.astype(int)
    distances = [np.abs(scenes.images - plain).mean() for scenes in (mild, shift, harsh)]
    assert 2 < distances[0] < distances[1] < distances[2]
    expected = annotated_scenes(
        24, split_seed(0, "shift"), size=32, domain="shift", shift_strength=0.75
    )
    np.testing.assert_array_equal(harsh.images, expected.images)
    most = draw_split("harsh", 0, 3, size=32, shift_strength=0.9)
    whole = draw_split("shift", 0, 3, size=32, shift_strength=1)
    np.testing.assert_array_equal(most.images, whole.images)


@pytest.mark.parametrize("split", ["val", "test", "shift"])
def test_saliency_splits_can_be_read(split: str, tmp_path: Path) -> None:
    run(settings(8), split, tmp_path / split)
    scenes = annotated_scenes(8, split_seed(0, split), size=32, domain=SPLITS[split].domain)
    rows = read_table(tmp_path / split / "captions.csv")
    assert [row["noun"] for row in rows] == scenes.kinds
    assert [row["caption"] for row in rows] == scenes.captions
    for row, image, mask in zip(rows, scenes.images, scenes.masks, strict=True):
        read = np.asarray(Image.open(tmp_path / split / "images" / f"{row['id']}.png"))
        truth = np.asarray(Image.open(tmp_path / split / "ground_truth_mask" / f"{row['id']}.png"))
        np.testing.assert_array_equal(read, image)
        np.testing.assert_array_equal(truth, np.where(mask, 255, 0))
    assert len(list((tmp_path / split / "images").iterdir())) == 8
    assert [path.name for path in tmp_path.iterdir()] == [split], "no temporary folder is left"


def test_voc_coordinates_survive_the_round_trip(tmp_path: Path) -> None:
    root = tmp_path / "multi"
    run(settings(6), "multi", root)
    scenes = annotated_scenes(6, split_seed(0, "multi"), size=32, objects=(2, 3))
    ids = (root / "ImageSets/Main/trainval.txt").read_text(encoding="utf-8").split()
    assert ids == [row["id"] for row in read_table(root / "captions.csv")]
    for index, name in enumerate(ids):
        tree = ElementTree.parse(root / "Annotations" / f"{name}.xml").getroot()
        file = root / "JPEGImages" / str(tree.findtext("filename"))
        np.testing.assert_array_equal(np.asarray(Image.open(file)), scenes.images[index])
        assert (tree.findtext("size/width"), tree.findtext("size/height")) == ("32", "32")
        items = tree.findall("object")
        assert tuple(item.findtext("name") for item in items) == scenes.names[index]
        for item, box in zip(items, scenes.boxes[index], strict=True):
            corners = [
                int(item.findtext(f"bndbox/{tag}") or "")
                for tag in ("xmin", "ymin", "xmax", "ymax")
            ]
            assert min(corners) >= 1 and max(corners) <= 32
            np.testing.assert_array_equal(np.array(corners) - [1, 1, 0, 0], box)


def test_a_split_replaces_what_was_there_and_is_the_same_each_time(tmp_path: Path) -> None:
    out = tmp_path / "val"
    (tmp_path / ".val.partial").mkdir()  # as a killed run leaves it
    run(settings(5), "val", out)
    first = {path.relative_to(out): path.read_bytes() for path in out.rglob("*.*")}
    run(settings(9), "val", out)
    assert len(list((out / "images").iterdir())) == 9
    run(settings(5), "val", out)
    assert first == {path.relative_to(out): path.read_bytes() for path in out.rglob("*.*")}
    assert [path.name for path in tmp_path.iterdir()] == ["val"]
    run(settings(5, seed=1), "val", out)
    assert first[Path("images/val-0000.png")] != (out / "images/val-0000.png").read_bytes()


def test_an_unknown_split_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(DsegError, match="'train': unknown, expected one of val, test"):
        run(settings(2), "train", tmp_path / "train")
    missing = settings(2)
    del missing.world.images["val"]
    with pytest.raises(DsegError, match="world.images.*'val'"):
        run(missing, "val", tmp_path / "val")
    assert not list(tmp_path.iterdir())


def test_training_data_holds_images_and_captions_only() -> None:
    made = captioned_images(5, 0)
    assert isinstance(made, tuple) and len(made) == 2
    images, captions = made
    assert images.shape == (5, 64, 64, 3) and images.dtype == np.uint8
    assert all(isinstance(caption, str) for caption in captions)
    assert "Scenes" not in str(inspect.signature(captioned_images))


def uses_of_the_world(source: str) -> set[str]:
    """Names that a module takes from the guarded modules; "*" for a module as a whole."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {"*" for alias in node.names if alias.name in GUARDED}
        elif isinstance(node, ast.ImportFrom):
            names = {alias.name for alias in node.names}
            # Relative imports are not used in dseg; here they would get past the check.
            whole = {name for name in names if f"{node.module}.{name}" in GUARDED}
            found |= {"*"} if node.level or whole else set()
            found |= names if node.module in GUARDED else names & TELLING
        elif isinstance(node, ast.Attribute | ast.Name):
            found |= {node.attr if isinstance(node, ast.Attribute) else node.id} & TELLING
        elif isinstance(node, ast.Constant) and node.value in GUARDED:
            found.add("*")  # importlib.import_module("...")
    return found


@pytest.mark.parametrize(
    "source",
    [
        "from dseg.world.renderer import annotated_scenes",
        "from dseg.world.renderer import _render",
        "from dseg.world import renderer",
        "import dseg.world.renderer as r",
        "from .renderer import captioned_images",
        "from importlib import import_module\nimport_module('dseg.world.renderer')",
        "from dseg.world.splits import draw_split",
        "from dseg.stages.world import draw_split",
        "from dseg.stages import world\nscenes = world.draw_split('val', 0, 1)",
        "def f(world): return world.annotated_scenes(1, 0)",
    ],
)
def test_the_guard_sees_ways_around(source: str) -> None:
    assert uses_of_the_world(source) - UNANNOTATED


def test_training_cannot_reach_masks(root: Path) -> None:
    """No module but those that render, judge or show touches annotations of the world."""
    uses = {
        path.relative_to(root).as_posix(): uses_of_the_world(path.read_text(encoding="utf-8"))
        for path in sorted((root / "dseg").rglob("*.py"))
    }
    assert set(uses) >= ANNOTATED
    offenders = {
        module: sorted(names - UNANNOTATED)
        for module, names in uses.items()
        if module not in ANNOTATED and names - UNANNOTATED
    }
    assert not offenders
    assert "annotated_scenes" in uses["dseg/world/splits.py"], "the guard looks at something"


@pytest.mark.parametrize("stage", METHOD)
def test_the_method_does_not_reach_the_world(stage: str) -> None:
    """Neither directly nor by what it imports."""
    reached = {path.as_posix() for path in sources(f"dseg.stages.{stage}")}
    assert f"dseg/stages/{stage}.py" in reached
    assert not {path for path in reached if path.startswith(("dseg/world/", "dseg/demo/"))}
