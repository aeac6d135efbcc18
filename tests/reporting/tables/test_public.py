"""Tables of the public benchmarks: complete before anything was run, and filled by what was."""

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest

from dseg.cli import main
from dseg.reporting import comparison
from dseg.reporting.forms import FORMS, to_csv
from dseg.reporting.summary import FILE, Estimate, Kind, Summary
from dseg.reporting.table import Table
from dseg.reporting.tables.public import public_box_table, public_mask_table
from dseg.reporting.tables.published import CORLOC, SALIENCY
from dseg.settings.reading import load_settings
from dseg.settings.run import Settings
from dseg.stages.tracking import table_metrics

ROOT = Path(__file__).resolve().parents[3]
PROFILE = """\
profile: large
benchmarks:
  coco20k: {layout: coco, root: data/coco20k, images: 19817}
  voc12: {layout: voc, root: data/voc12, images: 11540}
  ecssd: {layout: saliency, root: data/ecssd, images: 1000}
  dut-omron: {layout: saliency, root: data/dut-omron, images: 12}
recordings: {attentioncut-object: {}}
mask_methods: {attentioncut: {method: attentioncut, recording: attentioncut-object}}
variants: {inversion: {}, rgb: {head: {input: rgb}}}
evaluation: {modes: [multi, single], postprocessing: [none, bilateral-found]}
"""


def settings_of(folder: Path, text: str = PROFILE) -> Settings:
    path = folder / "large.yaml"
    path.write_text(text)
    return load_settings(ROOT / "params.yaml", [path])


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_of(tmp_path)


def scores() -> Summary:
    """The head on ECSSD, scored in two ways, and its boxes on VOC12."""
    estimates = [
        Estimate(
            Kind.METHOD,
            "inversion",
            metric,
            value,
            benchmark="ecssd",
            protocol=protocol,
            postprocessing=postprocessing,
            mode=mode,
            trainings=2,
        )
        for metric, value in (("acc", 0.85), ("iou", 0.65), ("max_f", 0.75), ("mae", 0.25))
        for postprocessing, mode, protocol in (
            ("none", "multi", "tokencut"),
            ("bilateral-found", "single", "selfmask"),
        )
    ]
    boxes = Estimate(Kind.METHOD, "inversion", "corloc", 0.655, benchmark="voc12")
    boxes = replace(boxes, protocol="box-largest", postprocessing="none", mode="box")
    return Summary.of([*estimates, boxes])


def tables_of(settings: Settings, summary: Summary | None = None) -> list[Table]:
    numbers = Summary.of([]) if summary is None else summary
    return [public_mask_table(settings, numbers), public_box_table(settings, numbers)]


def rows_of(table: Table) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(to_csv(table))))


def test_columns_are_the_public_benchmarks_of_the_profile(settings: Settings) -> None:
    saliency, localisation = tables_of(settings)
    assert [group for group, head in saliency.headings if head == "IoU"] == [
        "ECSSD, 1000 images",
        "DUT-OMRON, ours 12 of 5168 images",
    ]
    assert [group for group, head in localisation.headings if head == "CorLoc"] == [
        "VOC12, 11540 images",
        "COCO20K, 19817 images",
    ]
    assert [table.name for table in (saliency, localisation)] == comparison.tables(settings)[-2:]


def test_before_any_run_all_rows_are_there(settings: Settings) -> None:
    for table, published in zip(tables_of(settings), (SALIENCY, CORLOC), strict=True):
        ours = [row for row in table.cells if row[-1] == "this repository"]
        assert len(table.cells) == len(published) + 1 + len(ours)
        labels = [comparison.methods(settings)[m] for m in comparison.main_methods(settings)]
        assert list(dict.fromkeys(row[0] for row in ours)) == labels
        for row in rows_of(table):
            assert row["status"] in ("published", "not available", "not run")
            assert (row["status"] == "not run") == (row["source"] == "this repository")
        (paper,) = [row for row in table.cells if row[0] == "DiffusionSeg (the paper)"]
        assert set(paper[1:-1]) <= {"not available", ""} and "available" in paper[-1]


def test_published_rows_show_the_digits_and_the_protocol_of_their_source(
    settings: Settings,
) -> None:
    saliency, localisation = tables_of(settings)
    token_cut = saliency.cells[0]
    assert token_cut[1] == "tokencut"
    assert token_cut[4:] == ("91.8", "71.2", "80.3", "88.0", "53.3", "60.0", "TokenCut README")
    (self_mask,) = [row for row in saliency.cells if row[0].startswith("SelfMask †")]
    assert self_mask[1] == "selfmask †"
    (found,) = [row for row in saliency.cells if row[0] == "FOUND"]
    assert found[4:10] == ("94.8", "80.5", "89.6", *["not available"] * 3)
    assert localisation.cells[0][2:4] == ("64.0", "50.7")
    assert rows_of(localisation)[0]["corloc"] == "64.0"
    assert "beta^2 = 0.09" in saliency.note and "beta^2" not in localisation.note
    assert all("image" in table.note and "captions" in table.note
               for table in (saliency, localisation))  # fmt: skip


def test_our_rows_fill_in_with_what_was_run(settings: Settings) -> None:
    saliency, localisation = tables_of(settings, scores())
    head = comparison.methods(settings)["inversion"]
    ways = {row[1:4]: row[4:] for row in saliency.cells if row[0] == head}
    assert len(ways) == 8  # two protocols, two modes, with and without the solver
    # The mean of two trainings; the other benchmark was not run.
    expected = ("85.0", "65.0", "75.0", *["not run"] * 3, "this repository")
    assert ways["tokencut", "multi", "none"] == expected
    assert ways["selfmask †", "single", "bilateral-found"] == expected
    assert set(ways["tokencut", "single", "none"][:-1]) == {"not run"}
    (boxes,) = [row for row in localisation.cells if row[0] == head]
    assert boxes[1:4] == ("box-largest", "65.5", "not run")
    measured = [row for row in rows_of(saliency) if row["status"] == "measured"]
    assert {(row["method"], row["benchmark"], row["iou"]) for row in measured} == {
        ("inversion", "ecssd", "65.00")
    }


def test_boxes_are_scored_as_the_note_says(tmp_path: Path) -> None:
    changed = PROFILE.replace("{modes", "{box: all, difficult: drop, crowd: keep, modes")
    _, localisation = tables_of(settings_of(tmp_path, changed), scores())
    assert "box rule all, difficult and truncated objects of VOC dropped" in localisation.note
    assert "crowds of COCO kept" in localisation.note
    assert not [row for row in rows_of(localisation) if row["status"] == "measured"]


def test_a_profile_without_public_benchmarks_has_no_such_table() -> None:
    settings = load_settings(ROOT / "params.yaml")
    assert tuple(comparison.tables(settings)) == comparison.TABLES


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    profile = tmp_path / "workflow" / "profiles" / "large"
    profile.mkdir(parents=True)
    (profile / "params.yaml").write_text(PROFILE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_command_needs_no_run(repository: Path) -> None:
    assert main(["stage", "benchmark-tables", "--profile", "large"]) == 0
    folder = repository / "results" / "large" / "tables"
    names = ("saliency-benchmarks", "localisation-benchmarks")
    expected = {f"{name}.{suffix}" for name in names for suffix in FORMS}
    assert {path.name for path in folder.iterdir()} == expected
    assert "not run" in (folder / "saliency-benchmarks.md").read_text(encoding="utf-8")
    scores().write(repository / "artifacts" / "large" / FILE)
    assert main(["stage", "benchmark-tables", "--profile", "large"]) == 0
    assert "85.0" in (folder / "saliency-benchmarks.md").read_text(encoding="utf-8")


def test_the_command_says_what_is_wrong(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["stage", "benchmark-tables", "--profile", "embedded"]) == 2
    assert "names no public benchmark: expected some of" in capsys.readouterr().err
    assert main(["stage", "benchmark-tables", "--profile", "large", "--summary", "nowhere"]) == 2
    assert "nowhere: no such summary" in capsys.readouterr().err


def test_mlflow_is_told_of_our_numbers_alone(settings: Settings) -> None:
    saliency, localisation = tables_of(settings, scores())
    found = table_metrics(saliency)
    assert found["ecssd/inversion/none/multi/iou"] == pytest.approx(65)
    assert {name.split("/")[1] for name in found} == {"inversion"}
    assert table_metrics(localisation) == {"voc12/inversion/corloc": 65.5}
