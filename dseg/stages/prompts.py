"""Stage `prompts`: class names and templates -> prompts.parquet."""

from pathlib import Path

import pandas as pd

from dseg.artifacts.tables import read_table
from dseg.base_model.pipeline import load_tokenizer
from dseg.datasets.class_names import names_of
from dseg.errors import DsegError
from dseg.files import write_atomically
from dseg.method.prompts import build_prompts
from dseg.settings.reading import Settings

SECTIONS = ("seed", "model.path", "model.revision", "prompts")
COLUMNS = ("id", "text", "token_start", "token_end", "seed")  # those later stages read


def run(settings: Settings, out: Path) -> None:
    """Write the prompts of a run.

    Args:
        settings: The sections named in `SECTIONS`.
        out: The Parquet file; see `build_prompts` for its columns.

    Raises:
        DsegError: As `build_prompts`, `names_of` and `load_tokenizer`.
    """
    model, prompts = settings.model, settings.prompts
    table = build_prompts(
        load_tokenizer(model.path, revision=model.revision),
        classes=names_of(prompts.classes),
        templates=prompts.templates,
        contexts=prompts.contexts,
        count=prompts.count,
        seed=settings.seed,
    )
    write_atomically(Path(out), lambda temporary: table.to_parquet(temporary, index=False))


def read_prompts(path: Path) -> pd.DataFrame:
    """Read what `run` wrote.

    Raises:
        DsegError: The file is missing, not Parquet, without prompts or without a column.
    """
    table = read_table(path)
    missing = [name for name in COLUMNS if name not in table]
    if missing or table.empty:
        lack = f"column {missing[0]!r}" if missing else "rows"
        raise DsegError(f"{path}: a table of prompts without {lack}; run the stage prompts again")
    return table
