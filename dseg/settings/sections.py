"""What a stage reads of the settings, and its hash, which the stage writes beside what it makes."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from dseg.errors import DsegError
from dseg.settings.document import nearest
from dseg.settings.run import Settings


def sections(settings: Settings, *names: str) -> dict[str, Any]:
    """The part of the settings a stage reads, as nested JSON-able values.

    Args:
        settings: Whole settings, or those of :func:`load_sections`.
        names: Sections or keys in them, like ``"seed"``, ``"synthesis"``, ``"features.prompt"``,
            ``"variants.noise"``; none at all takes everything there is.

    Raises:
        DsegError: There is no such section or key.
    """
    whole = settings.model_dump(mode="json")
    if not names:
        return whole
    taken: dict[str, Any] = {}
    for name in names:
        *parents, last = name.split(".")
        source, target = whole, taken
        for key in parents:
            source = _child(source, key, name)
            target = target.setdefault(key, {})
        target[last] = _child(source, last, name)
    return taken


def settings_hash(mapping: Mapping[str, Any]) -> str:
    """First 16 hex digits of the SHA-256 of a mapping's canonical JSON; key order is ignored."""
    text = json.dumps(mapping, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _child(values: Any, key: str, name: str) -> Any:
    if isinstance(values, dict) and key in values:
        return values[key]
    known = values if isinstance(values, dict) else {}
    raise DsegError(f"no setting {name!r}{nearest(key, known)}")
