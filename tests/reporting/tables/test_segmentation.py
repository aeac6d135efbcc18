"""Tables say what the scores say, in four forms, in an order that does not follow the settings."""

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from finished_run import settings_of
from made_up_scores import made_up_scores, made_up_summary

from dseg.errors import DsegError
from dseg.reporting import comparison
from dseg.reporting.estimates import summarise
from dseg.reporting.forms import FORMS, to_csv, to_latex, to_markdown
from dseg.reporting.summary import Summary
from dseg.reporting.tables.assembly import build_tables
from dseg.reporting.tables.masks import mask_table
from dseg.reporting.tables.segmentation import ablation_table, localisation_table, saliency_table


def of(scores, method, benchmark, metric="iou"):
    """Scores (trainings, images) as they were made up."""
    return scores.of_images(metric)[
        method, benchmark, ("none", "box" if metric == "hit" else "multi")
    ]


def records(table):
    return list(csv.DictReader(io.StringIO(to_csv(table))))


def texts(settings, summary):
    return [[form(table) for form in FORMS.values()] for table in build_tables(settings, summary)]


def test_main_table_has_the_means_of_the_images(settings, scores, summary):
    rows = records(saliency_table(settings, summary))
    assert {row["benchmark"] for row in rows} == {"test", "shift"}
    assert {row["protocol"] for row in rows} == {"tokencut"}
    for row in rows:
        iou = of(scores, row["method"], row["benchmark"])
        assert float(row["iou"]) == pytest.approx(100 * iou.mean(), abs=0.005)
        assert float(row["iou_low"]) < float(row["iou"]) < float(row["iou_high"])
        assert row["images"] == "20" == str(iou.shape[1])
        assert row["seeds"] == ("3" if row["method"] in settings.variants else "")


def test_main_table_takes_max_f_from_the_protocol_not_from_the_images(settings, scores, summary):
    other = settings.model_copy(
        update={"evaluation": settings.evaluation.model_copy(update={"protocol": "pysod"})}
    )
    changed = saliency_table(other, summarise(other, scores))
    first, second = (records(table)[0] for table in (saliency_table(settings, summary), changed))
    assert float(first["max_f"]) - float(second["max_f"]) == pytest.approx(10, abs=0.011)
    assert "protocol pysod" in changed.note


def test_the_note_names_a_mode_that_is_not_the_usual_one(settings, summary):
    single = settings.evaluation.model_copy(update={"mode": "single"})
    other = settings.model_copy(update={"evaluation": single})
    assert "protocol tokencut, mode single, which" in saliency_table(other, summary).note
    assert "mode" not in saliency_table(settings, summary).note


def test_order_of_rows_and_benchmarks(settings, summary):
    table = saliency_table(settings, summary)
    assert [row[0] for row in table.cells] == [
        "centre prior",
        "all foreground",
        "AttentionCut, noised image, noun told",
        "AttentionCut, inverted image, noun told",
        "AttentionCut, noised image, noun not told",
        "head, inverted features",
        "RGB network",
    ]
    assert [group for group, head in table.headings if head == "Acc"] == [
        "test, 20 images",
        "shift, 20 images",
    ]


def test_many_benchmarks_stand_below_each_other(tmp_path):
    images = {"test": 5, "mild": 5, "shift": 5}
    many = settings_of(tmp_path, images, 60)
    scores = made_up_scores(many)
    cut = scores.images[
        (scores.images["method"] != "noise") | (scores.images["benchmark"] != "mild")
    ]
    table = ablation_table(many, summarise(many, replace(scores, images=cut)), "features")
    heads = [head for _, head in table.headings]
    assert heads[:4] == ["latents", "benchmark", "trainings", "IoU [95 %]"] and len(heads) == 7
    assert not any(group for group, _ in table.headings)
    blocks = [row[1] for row in table.cells]
    assert list(dict.fromkeys(blocks)) == [f"{name}, 5 images" for name in images]
    assert blocks.count("mild, 5 images") == blocks.count("test, 5 images") - 1
    shown = {(row[0], row[1].partition(",")[0]): row[3].split()[0] for row in table.cells}
    for row in records(table):
        assert shown[row["label"], row["benchmark"]] == f"{float(row['iou']):.1f}"


def test_tables_do_not_depend_on_the_order_of_settings(settings, summary):
    turned = settings.model_copy(
        update={
            name: dict(reversed(getattr(settings, name).items()))
            for name in ("benchmarks", "recordings", "variants", "mask_methods")
        }
    )
    assert texts(turned, summary) == texts(settings, summary)
    assert comparison.figures(turned) == comparison.figures(settings)


def test_corloc_and_its_box_rule(settings, scores, summary):
    table = localisation_table(settings, summary)
    rows = {row["method"]: row for row in records(table)}
    assert set(rows) == set(comparison.main_methods(settings))
    hits = of(scores, "rgb", "multi", "hit")
    assert float(rows["rgb"]["corloc"]) == pytest.approx(100 * hits.mean(), abs=0.005)
    assert rows["rgb"]["protocol"] == "box-largest" and "Box rule largest" in table.note


def test_mask_methods_are_compared_with_otsu_and_with_the_whole(settings, scores, summary):
    rows = {
        (row["method"], row["benchmark"]): row for row in records(mask_table(settings, summary))
    }
    assert {benchmark for _, benchmark in rows} == {"val", "test"}
    for benchmark in ("val", "test"):
        otsu, full = (scores.of_masks[name, benchmark] for name in ("otsu", "attentioncut"))
        row = rows["attentioncut", benchmark]
        assert float(row["minus_otsu"]) == pytest.approx(100 * (full - otsu).mean(), abs=0.005)
        assert float(row["p"]) <= float(row["p_holm"]) < 0.01
        assert row["minus_full"] == "" and rows["otsu", benchmark]["minus_otsu"] == ""
        gap = rows["otsu", benchmark]
        assert float(gap["minus_full"]) == pytest.approx(100 * (otsu - full).mean(), abs=0.005)
        assert float(gap["minus_full_low"]) < float(gap["minus_full"])
        assert float(gap["minus_full"]) < float(gap["minus_full_high"]) < 0
        assert float(gap["p_full"]) <= float(gap["p_full_holm"]) < 0.01
        worse = rows["threshold", benchmark]
        assert float(worse["minus_otsu"]) < 0 and float(worse["p_holm"]) < 0.05


def test_feature_table_holds_all_but_the_source_fixed(settings, scores, summary):
    table = ablation_table(settings, summary, "features")
    rows = records(table)
    assert [row["method"] for row in rows[::2]] == ["inversion", "noise", "clean", "noise-late"]
    said = ["inverted, t = 0.1", "noised, t = 0.1", "clean, t = 0", "noised, t = 0.3"]
    assert [row[0] for row in table.cells] == said
    difference = (of(scores, "noise", "test") - of(scores, "inversion", "test")).mean()
    (row,) = [row for row in rows if (row["method"], row["benchmark"]) == ("noise", "test")]
    assert float(row["minus_reference"]) == pytest.approx(100 * difference, abs=0.005)


def test_the_tests_of_a_table_are_corrected_among_themselves(settings, summary):
    table = ablation_table(settings, summary, "features")
    rows = {(row["method"], row["benchmark"]): row for row in records(table)}
    assert rows["inversion", "test"]["p"] == ""
    tested = [row for (method, _), row in rows.items() if method != "inversion"]
    assert len(tested) == 6
    known = dict(zip(rows, [0.0, 0.0, 0.004, 0.03, 0.01, 0.0001, 0.6, 0.02], strict=True))
    estimates = [
        replace(each, p=known[each.method, each.benchmark])
        if each.reference == "inversion" and (each.method, each.benchmark) in known
        else each
        for each in summary.estimates
    ]
    changed = ablation_table(settings, Summary.of(estimates), "features")
    rows = {(row["method"], row["benchmark"]): row["p_holm"] for row in records(changed)}
    assert [*rows.values()] == ["", "", "0.020", "0.060", "0.040", "6e-04", "0.600", "0.060"]
    shown = [[row[4], row[8]] for row in changed.cells]
    assert shown == [["", ""], ["0.020", "0.060"], ["0.040", "6e-04"], ["0.600", "0.060"]]
    assert "Holm within the table" in table.note
    assert ("", "trainings") in table.headings and {row[1] for row in table.cells} == {"3"}


def test_every_kind_of_ablation_has_its_table(tmp_path):
    settings = settings_of(
        tmp_path,
        {"test": 8},
        60,
        inversions={"main": {}, "many": {"steps": 50, "fixed_point": 0}},
        variants={
            "default": {},
            "many": {"features": {"inversion": "many"}},
            "untrained": {"features": {"weights": "random", "source": "noise"}},
            "coarse": {"features": {"strides": [2]}},
            "linear": {"head": {"architecture": "linear"}},
            "wide": {"head": {"width": 64, "loss": "dice"}},
            "otsu": {"head": {"masks": "otsu", "filter": False}},
            "few": {"head": {"pairs": 8}},
            "both": {"head": {"pairs": 8}, "features": {"source": "noise"}},
        },
    )
    tables = {table.name: table for table in build_tables(settings, made_up_summary(settings))}
    assert list(tables) == comparison.tables(settings)
    rows = {name: [row[0] for row in table.cells] for name, table in tables.items()}
    assert rows["inversions"] == [
        "20 steps, 1 iteration, no prompt",
        "50 steps, explicit, no prompt",
    ]
    assert [(row[1], row[2].split()[0], row[3]) for row in tables["round-trip"].cells] == [
        ("4", "1.35", "40.0"),
        ("4", "2.35", "39.0"),
    ]
    assert rows["round-trip"] == rows["inversions"]
    assert rows["blocks"] == [
        "decoder, strides 1, 2, inverted, t = 0.1",
        "decoder, stride 2, inverted, t = 0.1",
        "decoder, strides 1, 2, untrained U-Net, noised, t = 0.1",
    ]
    assert rows["heads"] == ["multi, pixels, bce-dice", "linear, bce-dice"] + [
        "multi, pixels, dice, width 64"
    ]
    assert rows["masks"] == ["attentioncut, filtered", "otsu, all"]
    assert rows["pairs"] == ["8", "40"]
    # What belongs to no ablation is a method of its own.
    assert "both" in comparison.main_methods(settings)
    assert len(set(comparison.methods(settings).values())) == len(comparison.methods(settings))


def test_pair_table_counts_what_the_filter_kept(settings, summary):
    table = ablation_table(settings, summary, "pairs")
    assert [row[0] for row in table.cells] == ["12", "24", "40"]
    assert "kept 40 of 60" in table.note


def test_of_the_first_prompts_only_their_pairs_count(settings, scores):
    head = settings.head.model_copy(update={"pairs": None, "prompts": 30})
    assert scores.pairs(head) == 30
    every_other = replace(scores, kept=np.arange(60) % 2 == 0)
    assert every_other.pairs(head) == 15
    assert every_other.pairs(head.model_copy(update={"filter": False})) == 30
    assert every_other.pairs(head.model_copy(update={"prompts": None})) == 30
    assert every_other.pairs(head.model_copy(update={"pairs": 10})) == 10


def test_metrics_are_flat_sorted_and_those_of_the_tables(settings, summary):
    flat = summary.flat()
    assert all(isinstance(value, int | float) for value in flat.values())
    assert list(flat)[:-1] == sorted(list(flat)[:-1])
    row = records(saliency_table(settings, summary))[0]
    assert flat[f"{row['benchmark']}/{row['method']}/iou"] == float(row["iou"])
    assert {"multi/rgb/corloc", "masks/val/otsu/iou", "val/pairs-12/max_f"} <= flat.keys()
    assert flat["masks/kept"] == 40


def test_two_makings_are_the_same_bytes(settings, scores, summary):
    shuffled = replace(
        scores,
        images=scores.images.sample(frac=1, random_state=1),
        masks=scores.masks.sample(frac=1, random_state=2),
    )
    other = summarise(settings, shuffled)
    assert texts(settings, other) == texts(settings, summary)
    assert json.dumps(other.flat()) == json.dumps(summary.flat())


def test_a_small_profile_shrinks_the_tables(tmp_path):
    settings = settings_of(
        tmp_path,
        {"val": 8},
        60,
        recordings={"attentioncut-noise": {}},
        variants={"rgb": {"head": {"input": "rgb"}}},
        mask_methods={"otsu": {"method": "otsu"}},
    )
    tables = {table.name: table for table in build_tables(settings, made_up_summary(settings))}
    assert tuple(tables) == comparison.TABLES == tuple(comparison.tables(settings))
    assert len(tables["saliency"].cells) == 4  # two baselines, one recording, one head
    assert "Settings were chosen in the domain of val" in tables["saliency"].note
    assert len(tables["mask-methods"].cells) == 1
    for name in ("localisation", "features", "pairs"):  # no boxes, no default variant
        assert tables[name].cells == ()
        assert "not run" in to_markdown(tables[name]) and "not run" in to_latex(tables[name])


def test_a_method_without_predictions_reads_not_run(settings, scores):
    def without(frame):
        return frame[~((frame["method"] == "rgb") & (frame["benchmark"] == "shift"))]

    fewer = replace(scores, images=without(scores.images), table=without(scores.table))
    row = saliency_table(settings, summarise(settings, fewer)).cells[-1]
    assert row[0] == "RGB network" and row[5:] == ("not run",) * 3 and "not run" not in row[:5]


def test_methods_on_different_images_are_not_put_side_by_side(settings, scores):
    first = scores.images["method"].eq("rgb") & scores.images["id"].eq("multi-0000")
    images = scores.images[~first]
    with pytest.raises(DsegError, match="different numbers of images"):
        summarise(settings, replace(scores, images=images))


def test_a_missing_score_is_said(settings, scores):
    table = scores.table[scores.table["metric"] != "max_f"]
    without = summarise(settings, replace(scores, table=table))
    with pytest.raises(DsegError, match="no max_f of centre-prior on test under the protocol"):
        saliency_table(settings, without)


def test_labels_are_distinct(settings):
    twins = {"attentioncut-noise": {}, "b-again": {"timesteps": [0.2]}}
    labels = comparison.methods(settings.model_copy(update={"recordings": twins}))
    assert len(set(labels.values())) == len(labels)
    assert labels["b-again"] == f"{labels['attentioncut-noise']} (b-again)"


def test_main_methods_leave_the_ablations_out(settings):
    main = set(comparison.main_methods(settings))
    assert main >= {"inversion", "rgb", *settings.recordings, *comparison.BASELINES}
    assert not main & {"noise", "clean", "pairs-12", "pairs-24"}


def test_intervals_move_with_the_seed_only(settings, scores):
    other = settings.model_copy(update={"seed": 1})
    first, second = (
        records(saliency_table(chosen, summarise(chosen, scores))) for chosen in (settings, other)
    )
    assert [row["iou"] for row in first] == [row["iou"] for row in second]
    low = np.array([[float(row["iou_low"]) for row in rows] for rows in (first, second)])
    assert (low[0] != low[1]).any() and np.abs(low[0] - low[1]).max() < 1
