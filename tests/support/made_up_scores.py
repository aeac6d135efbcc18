"""Scores of all methods of some settings, drawn from a generator: what tables are made from."""

from pathlib import Path

import numpy as np
import pandas as pd

from dseg.reporting import comparison
from dseg.reporting.estimates import summarise
from dseg.reporting.forms import write_table
from dseg.reporting.scores import Scores
from dseg.reporting.summary import Summary
from dseg.reporting.tables.assembly import build_tables
from dseg.settings.run import Settings

PROTOCOLS = ("tokencut", "pysod")
TRAININGS = 3


def made_up_scores(settings: Settings, kept: int = 40) -> Scores:
    """Every method on every benchmark; the IoU of the k-th method is about .4 + .05 k.

    Heads have three trainings.
    """
    rng = np.random.default_rng(0)
    images, scores = [], []
    for rank, method in enumerate(comparison.methods(settings)):
        trainings = TRAININGS if method in settings.variants else 1
        for name, benchmark in settings.benchmarks.items():
            count = benchmark.images
            easy = rng.normal(0, 0.08, count)  # an image is easy for all trainings
            for seed in range(trainings):
                mode = settings.evaluation.mode if benchmark.layout == "saliency" else "box"
                key = {"method": method, "benchmark": name, "seed": seed}
                key |= {"postprocessing": "none", "mode": mode}
                table = pd.DataFrame({"id": [f"{name}-{i:04d}" for i in range(count)], **key})
                columns = ["acc", "iou", "mae", "max_f", "hit"]
                table[columns] = np.nan
                if benchmark.layout == "saliency":
                    iou = np.clip(0.4 + 0.05 * rank + easy + rng.normal(0, 0.05, count), 0, 1)
                    table[["acc", "iou", "mae", "max_f"]] = np.stack(
                        [1 - (1 - iou) / 2, iou, 0.2 * (1 - iou), (1 + iou) / 2], axis=1
                    )
                    for protocol in PROTOCOLS:
                        for metric in ("acc", "iou", "mae", "max_f"):
                            value = table[metric].mean() - 0.1 * (protocol == "pysod")
                            scores.append((*key.values(), protocol, metric, value, count))
                else:
                    table["hit"] = (rng.random(count) < 0.3 + 0.05 * rank).astype(float)
                    value = table["hit"].mean()
                    scores.append((*key.values(), "box-largest", "corloc", value, count))
                images.append(table)
    masks = [
        pd.DataFrame(
            {
                "method": method,
                "benchmark": name,
                "id": [f"{name}-{i:04d}" for i in range(settings.benchmarks[name].images)],
                "iou": 0.5 + 0.02 * rank + 0.05 * rng.random(settings.benchmarks[name].images),
            }
        )
        for name in comparison.mask_benchmarks(settings)
        for rank, method in enumerate(comparison.mask_methods(settings))
    ]
    return Scores(
        images=pd.concat(images, ignore_index=True),
        table=pd.DataFrame(
            scores,
            columns=[*images[0].columns[1:6], "protocol", "metric", "value", "images"],
        ),
        masks=pd.concat(masks, ignore_index=True),
        kept=np.arange(settings.prompts.count) < kept,
        round_trips=pd.DataFrame(
            {
                "inversion": name,
                "id": f"test-{index:04d}",
                "error": 0.01 * (rank + 1) + 0.001 * index,
                "psnr": 40.0 - rank,
                "passes": 4,
            }
            for rank, name in enumerate(settings.inversions)
            for index in range(8)
        ),
    )


def write_tables(settings: Settings, summary: Summary, folder: Path) -> None:
    """The files of the stage tables, but for metrics.json."""
    for table in build_tables(settings, summary):
        write_table(table, folder / "tables")


def made_up_summary(settings: Settings) -> Summary:
    """The summary of these scores."""
    return summarise(settings, made_up_scores(settings))
