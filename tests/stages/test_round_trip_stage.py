"""Round trips: iterations and steps bring an image back closer, and the table says how close."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from finished_run import settings_of
from made_up_scores import made_up_scores

from dseg.reporting.estimates import summarise
from dseg.reporting.forms import to_csv
from dseg.reporting.tables.round_trips import round_trip_table
from dseg.stages import round_trip

pytest_plugins = ("tiny_pipeline", "stage_two")
INVERSIONS = {"main": {}, "exact": {"fixed_point": 4}, "fine": {"steps": 100, "fixed_point": 4}}


@pytest.fixture(scope="module")
def trips(make, benchmark: Path, tmp_path_factory) -> pd.DataFrame:
    out = tmp_path_factory.mktemp("trips") / "test.parquet"
    chosen = make(features={"timesteps": [0.1, 0.3]}).model_copy(update={"inversions": INVERSIONS})
    round_trip.run(chosen, "test", benchmark, out)
    return pd.read_parquet(out)


def test_iterations_and_steps_bring_an_image_back(trips: pd.DataFrame) -> None:
    errors = trips.groupby("inversion")["error"].mean()
    assert errors["exact"] < errors["main"] / 2
    assert errors["fine"] < errors["main"] / 2
    quality = trips.groupby("inversion")["psnr"].mean()
    assert quality["exact"] > quality["main"]
    passes = trips.groupby("inversion")["passes"].agg(set)
    assert passes.to_dict() == {"main": {3}, "exact": {12}, "fine": {120}}
    assert trips.groupby("inversion")["id"].agg(list)["main"] == ["a", "b", "c"]


def test_the_table_shows_the_ways_that_variants_read(tmp_path: Path) -> None:
    settings = settings_of(
        tmp_path,
        {"test": 8},
        60,
        inversions={"main": {}, "many": {"steps": 50}, "unread": {"steps": 5}},
        variants={"default": {}, "many": {"features": {"inversion": "many"}}},
    )
    rows = [(name, f"i{k}", 0.1 * k, 30.0, 4) for name in settings.inversions for k in (1, 2, 3)]
    trips = pd.DataFrame(rows, columns=["inversion", "id", "error", "psnr", "passes"])
    scores = replace(made_up_scores(settings), round_trips=trips)
    table = round_trip_table(settings, summarise(settings, scores))
    assert [row[0] for row in table.cells] == [
        "20 steps, 1 iteration, no prompt",
        "50 steps, 1 iteration, no prompt",
    ]
    assert 'many,"50 steps, 1 iteration, no prompt",test,3,,4,20.0000' in to_csv(table)
