"""The table of round trips: how exactly each way to invert leads back to the image."""

import pandas as pd

from dseg.reporting import ablations, comparison
from dseg.reporting.summary import Kind, Summary
from dseg.reporting.table import KEYS, Table, bounds, count, fixed, percent, plain, with_bounds
from dseg.settings.run import Settings


def round_trip_table(settings: Settings, summary: Summary) -> Table:
    """A row for each way to invert that was measured.

    Args:
        settings: Sections inversion, inversions, features, variants, benchmarks.
        summary: Its rows of the kind inversion, of the first held-out benchmark.
    """
    benchmark = comparison.held_out(settings)[0]
    records = []
    for name in ablations.inversions(settings):
        error, psnr, passes = (
            summary.find(name, benchmark, metric, kind=Kind.INVERSION)
            for metric in ("error", "psnr", "passes")
        )
        if error is None or psnr is None or passes is None:
            continue
        records.append(
            {
                "method": name,
                "label": ablations.inversion_label(settings, name),
                "benchmark": benchmark,
                "images": error.images,
                "protocol": None,
                "passes": int(passes.value),
                **percent("error", error.interval),
                "psnr": psnr.value,
            }
        )
    columns = (*KEYS, plain("passes", count), *bounds("error", 4), plain("psnr", fixed(3)))
    return Table(
        name=comparison.ROUND_TRIP,
        title="Round trips: inverted, and sampled back",
        note=f"Up to t = {settings.features.timesteps[-1]:g} of the training timesteps and back "
        "down by plain DDIM steps of the same grid. Error: of the latents, relative to their norm, "
        f"mean over the first images of {benchmark}; in brackets: 95 % interval (BCa) over images. "
        "PSNR: of the decoded image against the decoded original, dB. Passes: of the U-Net for "
        "each image, upwards.",
        frame=pd.DataFrame(records, columns=[name for each in columns for name in each.names]),
        columns=columns,
        lead=(plain("label", heading="inversion"), plain("passes", count)),
        shown=(with_bounds("error, % [95 %]", "error", 2), plain("psnr", fixed(1), "PSNR")),
    )
