"""Models in the shape of Anthropic's API."""

from datetime import UTC, datetime
from typing import Any


def anthropic_models(body: dict[str, Any]) -> dict[str, Any]:
    """Return the body of a response about models in Anthropic's shape.

    Args:
        body: The body in OpenAI's shape, of one model or of all.

    Examples:
        >>> anthropic_models({"object": "list", "data": []})
        {'data': [], 'has_more': False, 'first_id': None, 'last_id': None}
    """
    if body["object"] != "list":
        return _model(body)
    data = [_model(model) for model in body["data"]]
    ids = [model["id"] for model in data]
    return {
        "data": data,
        "has_more": False,
        "first_id": ids[0] if ids else None,
        "last_id": ids[-1] if ids else None,
    }


def _model(model: dict[str, Any]) -> dict[str, Any]:
    """A model; the fields that only ours have are kept."""
    created = datetime.fromtimestamp(model["created"], UTC)
    length = model.get("max_model_len")
    return {
        **model,
        "type": "model",
        "display_name": model["id"],
        "created_at": created.isoformat().replace("+00:00", "Z"),
        "lifecycle": "active",
        "max_input_tokens": length,
        "max_tokens": length,
    }
