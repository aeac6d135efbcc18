"""All tables of a run, from its summary."""

from collections.abc import Callable
from functools import partial

from dseg.reporting import ablations, comparison
from dseg.reporting.summary import Summary
from dseg.reporting.table import Table
from dseg.reporting.tables.masks import mask_table, synthetic_mask_table
from dseg.reporting.tables.postprocessing import postprocessing_table
from dseg.reporting.tables.public import public_box_table, public_mask_table
from dseg.reporting.tables.round_trips import round_trip_table
from dseg.reporting.tables.segmentation import ablation_table, localisation_table, saliency_table
from dseg.settings.run import Settings


def build_tables(settings: Settings, summary: Summary) -> list[Table]:
    """The tables that `comparison.tables` names, in that order.

    Args:
        settings: Sections prompts.count, benchmarks, recording, recordings, mask_recordings,
            inversion, inversions, features, head, variants, syntheses, attentioncut, mask_methods,
            evaluation, instruments.scored, synthesis.guidance, synthesis.steps.
        summary: The numbers; where some are absent, the row or the table says so.

    Raises:
        DsegError: A number is missing that goes with one that is there.
    """
    makers: dict[str, Callable[[Settings, Summary], Table]] = {
        "saliency": saliency_table,
        "localisation": localisation_table,
        "mask-methods": mask_table,
        comparison.ROUND_TRIP: round_trip_table,
        comparison.POSTPROCESSING: postprocessing_table,
        comparison.SYNTHETIC_MASKS: synthetic_mask_table,
        comparison.PUBLIC_MASK_TABLE: public_mask_table,
        comparison.PUBLIC_BOX_TABLE: public_box_table,
        **{name: partial(ablation_table, name=name) for name in ablations.ABLATIONS},
    }
    return [makers[name](settings, summary) for name in comparison.tables(settings)]
