"""The stage evaluation on files of several sizes: resizing, modes, post-processings, box rules."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from dseg.artifacts.parquet import read_table
from dseg.artifacts.shards import read_shards, write_shard
from dseg.evaluation.bilateral import bilateral_grid, solve
from dseg.evaluation.boxes import box_iou, mask_to_box, select_component
from dseg.evaluation.metrics import Accumulator
from dseg.evaluation.protocols import PROTOCOLS
from dseg.method.cut.attentioncut import pixel_cut
from dseg.method.resample import resize
from dseg.reporting.summary import Summary
from dseg.settings.reading import load_sections, load_settings
from dseg.settings.run import Settings
from dseg.stages import evaluation, summary

ROOT = Path(__file__).resolve().parents[2]
SIZES = {"a": (30, 50), "b": (64, 40), "c": (21, 77)}
MODEL_SIZE = (16, 16)


def settings_of(folder: Path, benchmarks: dict[str, Any], **changes: Any) -> Settings:
    """Settings as the stage is given them: those of the sections that it reads."""
    defaults = yaml.safe_load((ROOT / "params.yaml").read_text())
    values = {
        "benchmarks": benchmarks,
        "evaluation": {**defaults["evaluation"], **changes},
        "attentioncut": defaults["attentioncut"],
    }
    path = folder / "settings.json"
    path.write_text(json.dumps(values))
    return load_sections(path)


def truth_of(size: tuple[int, int]) -> np.ndarray:
    height, width = size
    mask = np.zeros(size, np.uint8)
    mask[height // 4 : height // 2, width // 5 : width // 2] = 255
    mask[height // 2 : 3 * height // 4, 3 * width // 4 :] = 255
    mask[0, :] = 100  # grey, which protocols cut differently
    return mask


@pytest.fixture
def saliency(tmp_path: Path) -> Path:
    """A benchmark of three images of different sizes, with soft masks of one size."""
    root = tmp_path / "set"
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True)
    rng = np.random.default_rng(0)
    soft = []
    for name, size in SIZES.items():
        mask = truth_of(size)
        image = rng.integers(0, 40, (*size, 3), dtype=np.uint8) + (mask // 2)[..., None]
        Image.fromarray(image.astype(np.uint8)).save(root / "images" / f"{name}.png")
        Image.fromarray(mask).save(root / "masks" / f"{name}.png")
        small = resize(mask == 255, MODEL_SIZE) * 0.8 + 0.2 * rng.random(MODEL_SIZE)
        soft.append(np.round(255 * small).astype(np.uint8))
    shard = tmp_path / "predictions" / "set" / "head" / "00000-of-00001.safetensors"
    fields = {"soft": np.stack(soft), "size": np.array(list(SIZES.values()), np.int32)}
    write_shard(shard, fields, ids=list(SIZES), kind="masks", stage="prediction", settings_hash="x")
    return tmp_path


def score(folder: Path, **changes: Any) -> dict[str, pd.DataFrame]:
    benchmarks = {"set": {"layout": "saliency", "root": str(folder / "set"), "images": 3}}
    settings = settings_of(folder, benchmarks, **changes)
    shards = sorted((folder / "predictions").rglob("*.safetensors"))
    evaluation.run(settings, folder, shards, folder / "scores")
    return {
        name: read_table(folder / "scores" / f"{name}.parquet")
        for name in ("images", "scores", "curves")
    }


def soft_of(folder: Path, name: str) -> np.ndarray:
    shard = read_shards(sorted((folder / "predictions").rglob("*.safetensors")))
    values = shard.fields["soft"][shard.ids.index(name)] / np.float32(255)
    return np.clip(resize(values, SIZES[name]), 0, 1)


def test_every_protocol_scores_masks_at_the_size_of_each_truth(saliency: Path) -> None:
    table = score(saliency)["scores"].query("method == 'head'")
    assert set(table["postprocessing"]) == {"none"} and set(table["mode"]) == {"multi"}
    for protocol in PROTOCOLS:
        expected = Accumulator(protocol)
        for name, size in SIZES.items():
            expected.update(soft_of(saliency, name), truth_of(size), name)
        found = table[table["protocol"] == protocol].set_index("metric")["value"]
        assert found.to_dict() == pytest.approx(expected.compute(), abs=1e-12)


def test_modes_and_postprocessings_are_rows_of_their_own(saliency: Path) -> None:
    ways = ["none", "cut", "bilateral-tokencut"]
    tables = score(saliency, modes=["multi", "single"], postprocessing=ways)
    keys = ["method", "postprocessing", "mode"]
    counts = tables["images"].groupby(keys).size()
    assert len(counts) == 3 * 6 and set(counts) == {3}  # two baselines and the head
    assert set(tables["curves"].groupby(keys).size()) == {255}
    image = tables["images"].set_index([*keys, "id"])["iou"]
    for name, size in SIZES.items():
        soft, truth = soft_of(saliency, name), truth_of(size) > 127

        def iou(mask: np.ndarray, truth: np.ndarray = truth) -> float:
            return float((mask & truth).sum() / (mask | truth).sum())

        photo = np.asarray(Image.open(saliency / "set" / "images" / f"{name}.png"))
        solved = solve(soft > 0.5, bilateral_grid(photo)) > 0.5
        cut = pixel_cut(soft, photo, load_settings(ROOT / "params.yaml").attentioncut) > 0.5
        expected = {
            ("cut", "multi"): iou(cut),
            ("cut", "single"): iou(select_component(cut, "largest")),
            ("none", "multi"): iou(soft > 0.5),
            ("none", "single"): iou(select_component(soft > 0.5, "largest")),
            ("bilateral-tokencut", "multi"): iou(solved),
            ("bilateral-tokencut", "single"): iou(select_component(solved, "largest")),
        }
        for key, value in expected.items():
            assert image["head", *key, name] == pytest.approx(value)


@pytest.mark.parametrize("mode", ["multi", "single"])
def test_what_is_shown_is_of_one_mode_without_postprocessing(saliency: Path, mode: str) -> None:
    ways = {"modes": ["multi", "single"], "postprocessing": ["none", "bilateral-tokencut"]}
    tables = score(saliency, mode=mode, **ways)
    masks = saliency / "masks" / "00000-of-00001.safetensors"
    kept = {"kept": np.array([True, False])}
    write_shard(masks, kept, ids=["x", "y"], kind="masks", stage="attentioncut", settings_hash="x")
    none = saliency / "none.parquet"
    pd.DataFrame(columns=["method", "benchmark", "id", "iou"]).to_parquet(none)
    whole = yaml.safe_load((ROOT / "params.yaml").read_text())
    given = saliency / "given.json"
    benchmarks = {"set": {"layout": "saliency", "root": str(saliency / "set"), "images": 3}}
    evaluated = {**whole["evaluation"], "mode": mode, **ways}
    given.write_text(json.dumps({**whole, "benchmarks": benchmarks, "evaluation": evaluated}))
    out = saliency / "summary.parquet"
    summary.run(load_sections(given), saliency / "scores", none, [masks], out)
    numbers = Summary.read(out)
    wanted = f"method == 'head' and postprocessing == 'none' and mode == '{mode}'"
    shown = numbers.find("head", "set")
    assert shown is not None and shown.images == 3
    assert shown.value == pytest.approx(tables["images"].query(wanted)["iou"].mean())
    other = numbers.scored("head", "set", ("bilateral-tokencut", "single"), "tokencut")
    assert other is not None and not other.shown and other.low < other.value < other.high
    assert numbers.flat()["set/head/iou"] == round(100 * shown.value, 2)
    assert numbers.kept() == (1, 2)
    found = tables["scores"].query(f"{wanted} and metric == 'max_f' and protocol == 'tokencut'")
    assert numbers.need("head", "set", "max_f") == found["value"].item()


def test_grey_truths_are_cut_by_the_protocol_or_at_one_half(saliency: Path) -> None:
    found = {}
    for rule in ("protocol", "half"):
        table = score(saliency, truth=rule)["scores"].query("method == 'all-foreground'")
        scores = table.query("metric == 'mean_f'").set_index("protocol")["value"]
        found[rule] = scores.round(6).to_dict()
    # Grey 100 is foreground for the F of tokencut only, and for nobody where one half decides.
    assert found["protocol"]["tokencut"] > found["protocol"]["pysod"]
    assert found["half"]["tokencut"] == found["half"]["pysod"] == found["protocol"]["pysod"]


BOXES = {
    # xmin, ymin, xmax, ymax counted from 1, both ends inside; difficult
    "x": [((11, 6, 30, 25), 0), ((1, 1, 5, 5), 1)],
    "y": [((1, 1, 40, 30), 1)],
}


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    """Two images of VOC's layout; predictions hit the easy box of one and miss the other's."""
    root = tmp_path / "set"
    for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / name).mkdir(parents=True)
    (root / "ImageSets" / "Main" / "trainval.txt").write_text("\n".join(BOXES))
    soft = np.zeros((2, 30, 40), np.uint8)
    for row, (name, objects) in enumerate(BOXES.items()):
        Image.new("RGB", (40, 30)).save(root / "JPEGImages" / f"{name}.jpg")
        items = "".join(
            f"<object><name>dog</name><difficult>{difficult}</difficult><bndbox>"
            + "".join(f"<{k}>{v}</{k}>" for k, v in zip(("xmin", "ymin", "xmax", "ymax"), box,
                                                       strict=True))
            + "</bndbox></object>"
            for box, difficult in objects
        )  # fmt: skip
        (root / "Annotations" / f"{name}.xml").write_text(f"<annotation>{items}</annotation>")
        soft[row, 5:25, 10:30] = 255  # exactly the first box of x
    soft[1, :, 30:] = 0
    shard = tmp_path / "predictions" / "set" / "head" / "00000-of-00001.safetensors"
    write_shard(
        shard, {"soft": soft}, ids=list(BOXES), kind="masks", stage="prediction", settings_hash="x"
    )
    return tmp_path


@pytest.mark.parametrize(("difficult", "images", "corloc"), [("keep", 2, 0.5), ("drop", 1, 1.0)])
def test_difficult_boxes_count_or_leave_their_image_out(
    voc: Path, difficult: str, images: int, corloc: float
) -> None:
    benchmarks = {"set": {"layout": "voc", "root": str(voc / "set"), "images": 2}}
    # Modes and post-processings are about masks: boxes have one row whatever they are.
    settings = settings_of(voc, benchmarks, difficult=difficult, modes=["single", "multi"],
                           postprocessing=["bilateral-found", "none"])  # fmt: skip
    shards = sorted((voc / "predictions").rglob("*.safetensors"))
    evaluation.run(settings, voc, shards, voc / "scores")
    row = read_table(voc / "scores" / "scores.parquet").query("method == 'head'")
    assert row[["postprocessing", "mode", "protocol", "metric"]].to_numpy().tolist() == [
        ["none", "box", "box-largest", "corloc"]
    ]
    assert row["images"].item() == images and row["value"].item() == corloc
    first = read_table(voc / "scores" / "images.parquet").query("method == 'head' and id == 'x'")
    assert first["hit"].item() == 1 and first["iou"].isna().all()


def test_a_prediction_of_another_size_gives_a_box_in_pixels_of_the_image() -> None:
    mask = np.zeros((30, 40), np.float32)
    mask[5:25, 10:30] = 1
    small = resize(mask, (15, 20))
    found = mask_to_box(resize(small, (30, 40)))
    assert found is not None
    assert box_iou(found[None], np.array([[10, 5, 30, 25]])).item() > 0.8
