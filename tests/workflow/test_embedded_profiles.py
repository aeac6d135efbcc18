"""The profiles on the embedded world to their very end, with all they have but few images."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from clones import copy_of_working_tree, run_to_its_end

from dseg.reporting import comparison
from dseg.settings.profiles import profile_params
from dseg.settings.reading import load_settings

pytestmark = [pytest.mark.slow, pytest.mark.every_profile]
COUNTS = {"count", "images", "limit", "pairs", "prompts", "scored"}
# Nothing that a variant, recording, mask method or inversion changes, which would leave it without
# a difference; and a filter that lets pass what four steps make.
SMALLER: dict[str, dict[str, Any]] = {
    "synthesis": {"steps": 4},
    "attention": {"timesteps": [0.0, 1.0]},
    "attentioncut": {"area": [0.0, 1.0], "border": 1.0, "focus": 0.0},
    "head": {"width": 8, "epochs": 1, "batch_size": 2, "seeds": 2, "validation_fraction": 0.34},
    "instruments": {"images": 60, "epochs": 1},
}


def fewer(settings: Any, counted: bool = False) -> Any:
    """The same with binary logarithms of all counts: a few, of which the larger stay larger."""
    if isinstance(settings, dict):
        return {key: fewer(value, counted or key in COUNTS) for key, value in settings.items()}
    return settings.bit_length() - 1 if counted and type(settings) is int else settings


@pytest.mark.parametrize("profile", ["embedded", "study"])
def test_it_ends_with_all_tables_and_figures(profile: str, root: Path, tmp_path: Path) -> None:
    clone = copy_of_working_tree(root, tmp_path / "clone")
    base, *overrides = (clone.folder / file for file in profile_params(profile))
    file = [base, *overrides][-1]
    params = fewer(yaml.safe_load(file.read_text()))
    for section, values in SMALLER.items():
        params[section] = params.get(section, {}) | values
    file.write_text(yaml.safe_dump(params))
    settings = load_settings(base, overrides)
    figures = (f"figures/{name}.png" for name in comparison.figures(settings))
    run_to_its_end(clone, profile, comparison.tables(settings), figures)
