"""The table of round trips: how exactly each way to invert leads back to the image."""

import pandas as pd

from dseg import ablations, comparison
from dseg.settings import Settings
from dseg.statistics import mean_interval
from dseg.table import Table


def round_trip_table(settings: Settings, trips: pd.DataFrame) -> Table:
    """A row for each way to invert that was measured.

    Args:
        settings: Sections seed, inversion, inversions, features, benchmarks.
        trips: inversion, id, error, psnr, passes: a row per inversion and image, of the first
            held-out benchmark.
    """
    benchmark = comparison.held_out(settings)[0]
    top = settings.features.timesteps[-1]
    cells, records = [], []
    for name in ablations.inversions(settings):
        rows = trips[trips["inversion"] == name].sort_values("id")
        if rows.empty:
            continue
        label = ablations.inversion_label(settings, name)
        error = mean_interval(rows["error"].to_numpy(), seed=settings.seed)
        numbers = [100 * number for number in (error.value, error.low, error.high)]
        passes, psnr = str(int(rows["passes"].iloc[0])), f"{rows['psnr'].mean():.1f}"
        value, low, high = (f"{number:.2f}" for number in numbers)
        cells.append((label, passes, f"{value} [{low}, {high}]", psnr))
        key = (name, label, benchmark, str(len(rows)), "")
        exact = (f"{number:.4f}" for number in numbers)
        records.append((*key, passes, *exact, f"{rows['psnr'].mean():.3f}"))
    return Table(
        name=comparison.ROUND_TRIP,
        title="Round trips: inverted, and sampled back",
        note=f"Up to t = {top:g} of the training timesteps and back down by plain DDIM steps of "
        "the same grid. Error: of the latents, relative to their norm, mean over the first images "
        f"of {benchmark}; in brackets: 95 % interval (BCa) over images. PSNR: of the decoded image "
        "against the decoded original, dB. Passes: of the U-Net for each image, upwards.",
        headings=tuple(("", head) for head in ("inversion", "passes", "error, % [95 %]", "PSNR")),
        cells=tuple(cells),
        columns=(
            *("method", "label", "benchmark", "images", "protocol", "passes"),
            *("error", "error_low", "error_high", "psnr"),
        ),
        records=tuple(records),
    )
