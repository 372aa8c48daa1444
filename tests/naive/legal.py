"""Which actions are legal, written from `docs/events-and-actions.md`."""

import json

import numpy as np

_ENDS = {"output", "tools", "error", "noop", "raise", "report"}
_ALLOWED = {
    "Prefilled": _ENDS | {"prefill"},
    "ForwardPass": _ENDS | {"logits", "force", "backtrack"},
    "Sampled": _ENDS | {"force", "backtrack"},
    "Added": _ENDS | {"force", "backtrack"},
    "Finished": {"noop", "raise", "report"},
}


def is_legal(event_name, action, vocab_size):
    """Return True if an action is allowed at an event and its values are valid."""
    kind, *values = action
    if kind not in _ALLOWED[event_name]:
        return False
    if kind == "report":
        return size_of(values[0]) is not None
    if kind == "logits":
        return _is_valid_change(values[0], vocab_size)
    if kind in ("force", "output", "prefill"):
        return _are_ids(values[0], vocab_size) and (kind != "prefill" or bool(values[0]))
    if kind == "backtrack":
        return values[0] >= 0 and _are_ids(values[1] or (), vocab_size)
    return True


def size_of(data):
    """Return the size of a report's data in bytes of JSON; `None` if it is not JSON."""
    try:
        return len(json.dumps(data, allow_nan=False, separators=(",", ":")))
    except (TypeError, ValueError):
        return None


def _is_valid_change(change, vocab_size):
    row = change.get("row")
    if row is not None and (len(row) != vocab_size or _is_bad(row)):
        return False
    if change.get("allow") == [] or change.get("mask") == []:
        return False
    ids = [*change.get("allow", ()), *change.get("ban", ()), *map(int, change.get("bias", ()))]
    return _are_ids(ids, vocab_size) and 0 <= change.get("temp", 0) <= 100


def _are_ids(ids, vocab_size):
    return all(0 <= token_id < vocab_size for token_id in ids)


def _is_bad(row):
    return np.isnan(row).any() or np.isposinf(row).any() or np.isneginf(row).all()
