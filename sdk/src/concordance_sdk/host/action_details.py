"""Actions as plain data, as traces have them."""

from typing import Any

import msgspec
from concordance_shared import AdjustedLogits, Backtrack, ToolCalls

#: Token ids of an action that are listed.
MAX_IDS = 256


def action_details(action: Any) -> dict[str, Any]:
    """Return the fields of an action as plain data; long lists of tokens are cut."""
    if action is None or isinstance(action, dict):
        return action or {}
    if isinstance(action, AdjustedLogits):
        return adjustment(action)
    if isinstance(action, ToolCalls):
        return {"tool_calls": [msgspec.to_builtins(call) for call in action.tool_calls]}
    found: dict[str, Any] = {}
    if isinstance(action, Backtrack):
        found["n"] = action.n
    if tokens := getattr(action, "tokens", None):
        found["token_ids"] = list(tokens[:MAX_IDS])
        found["num_tokens"] = len(tokens)
    if max_steps := getattr(action, "max_steps", 0):
        found["max_steps"] = max_steps
    if err := getattr(action, "err_str", None):
        found["error"] = err
    return found


def adjustment(action: AdjustedLogits) -> dict[str, Any]:
    """Describe an adjustment without its arrays, which belong to the engine's thread."""
    found: dict[str, Any] = {}
    if action.logits is not None:
        found["logits"] = True
    if action.bias is not None:
        found["bias"] = len(action.bias)
    if action.allow is not None:
        found["allow"] = len(action.allow)
    if action.ban is not None:
        found["ban"] = len(action.ban)
    if action.mask is not None:
        found["mask"] = True
    if action.token_temp is not None:
        found["token_temp"] = action.token_temp
    return found
