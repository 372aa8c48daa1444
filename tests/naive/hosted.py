"""A script of the SDK as a mod of the executor, for requests that have other mods beside it.

The steps are the SDK's; what they do to the completion, and its logits, are the executor's.
"""

import numpy as np
from concordance_sdk.action_builder import Actions
from concordance_sdk.script.script import Script
from concordance_sdk.testing import ByteTokenizer
from concordance_shared import (
    Added,
    AdjustedLogits,
    Backtrack,
    ContextInfo,
    EmitError,
    Finished,
    ForceTokens,
    ForwardPass,
    Prefilled,
    Report,
    ToolCalls,
)

from naive.sampling import log_softmax
from naive.steps import script_of


class Hosted:
    """A script of one request."""

    on = frozenset({"Prefilled", "ForwardPass", "Added", "Finished"})
    reads = False

    def __init__(self, script, context):
        """Start before the first event; `context` is what the mods of the request share."""
        self.name, self.max_backtrack, self.events = script.name, 0, []
        self.context = context
        self._tokenizer = ByteTokenizer()
        self._actions = Actions(self._tokenizer)
        self._script = Script(
            script_of(script.steps), {}, tokenizer=self._tokenizer, request=context
        )

    def act(self, event):
        """Return the action for an event: a list of its kind and values."""
        handler = {
            "Prefilled": self._script.prefilled,
            "ForwardPass": self._script.forward_pass,
            "Added": self._script.added,
            "Finished": self._script.finished,
        }[event.name]
        try:
            with self.context.entered():
                returned = handler(_event(event), self._actions, self._tokenizer)
        except Exception:
            return ["raise"]
        if isinstance(returned, list):
            return ["list", [_plain(each) for each in returned]]
        return _plain(returned)


class Row:
    """Logits, of which a script reads log-probabilities."""

    def __init__(self, row):
        """Wrap a row."""
        self._row = row

    def __len__(self):
        return len(self._row)

    def logprobs(self, token_ids):
        return [float(log_softmax(self._row)[token_id]) for token_id in token_ids]


def _event(event):
    common = {"request_id": "r", "step": event.step}
    if event.name == "Prefilled":
        info = ContextInfo(tokens=event.tokens)
        return Prefilled(**common, max_steps=event.max_steps, context_info=info)
    if event.name == "ForwardPass":
        return ForwardPass(**common, logits=Row(event.logits))
    if event.name == "Added":
        return Added(**common, added_tokens=event.tokens, forced=event.forced)
    return Finished(**common, finish_reason=event.reason)


def _plain(action):
    """Return an action as a list of its kind and values."""
    made = {
        ForceTokens: lambda: ["force", list(action.tokens)],
        Backtrack: lambda: ["backtrack", action.n, list(action.tokens or ()) or None],
        AdjustedLogits: lambda: ["logits", _change(action)],
        Report: lambda: ["report", dict(action.data)],
        ToolCalls: lambda: ["tools", [{"name": "look", "arguments": {"x": 1}}]],
        EmitError: lambda: ["error", action.err_str],
    }
    return ["noop"] if action is None else made[type(action)]()


def _change(action):
    change = {}
    if action.mask is not None:
        bits = np.unpackbits(np.frombuffer(bytes(action.mask), np.uint8), bitorder="little")
        change["mask"] = [int(i) for i in np.flatnonzero(bits)]
    if action.bias:
        change["bias"] = {str(key): value for key, value in action.bias.items()}
    if action.token_temp is not None:
        change["temp"] = action.token_temp
    return change
