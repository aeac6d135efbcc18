"""The JSON schema of params.yaml, as a file: editors and the workflow's readers look there."""

import json
from pathlib import Path

from dseg.files import write_text
from dseg.settings.reading import json_schema

SCHEMA = Path("workflow/schemas/params.schema.json")


def write_schema(out: Path = SCHEMA) -> None:
    """Write the JSON schema of params.yaml.

    Args:
        out: Where.
    """
    text = json.dumps(json_schema(), indent=2) + "\n"
    write_text(out, text)
