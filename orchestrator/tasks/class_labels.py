"""Class labels as names: Hugging Face data sets store them as numbers, with the names in the metadata.

It must not know where rows are read, nor what a label is for.
"""

import json
from collections.abc import Mapping
from typing import Any

METADATA = b"huggingface"
"""The key in an Arrow schema's metadata under which data sets store their features."""


def features_in(metadata: Mapping[bytes, bytes] | None) -> dict[str, Any]:
    """The features in a table's metadata, by column; empty if there are none or they cannot be read."""
    try:
        found = json.loads((metadata or {})[METADATA])["info"]["features"]
    except (KeyError, ValueError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


def named(value: Any, feature: Any) -> Any:
    """A value with its class labels replaced by their names, an unknown label by None."""
    if value is None or not _has_labels(feature):
        return value
    if isinstance(feature, list):
        return [named(item, feature[0]) for item in value] if isinstance(value, list) else value
    kind = feature.get("_type")
    if kind == "ClassLabel":
        names = feature["names"]
        return names[value] if isinstance(value, int) and 0 <= value < len(names) else None
    if "feature" in feature and isinstance(kind, str):
        inner = feature["feature"]
        if isinstance(value, list):
            return [named(item, inner) for item in value]
        if isinstance(value, dict) and isinstance(inner, dict):  # a sequence of structs is kept as a struct of lists
            return {name: named(items, [inner.get(name)]) for name, items in value.items()}
        return value
    if isinstance(value, dict):
        return {name: named(item, feature.get(name)) for name, item in value.items()}
    return value


def _has_labels(feature: Any) -> bool:
    if isinstance(feature, list):
        return bool(feature) and _has_labels(feature[0])
    if not isinstance(feature, Mapping):
        return False
    if feature.get("_type") == "ClassLabel":
        return isinstance(feature.get("names"), list)
    return any(_has_labels(inner) for inner in feature.values())
