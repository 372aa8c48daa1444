"""The formats of messages, as a mod that computes everything again at each event.

It has no state: the message, its constraint and all of its tokens come from the completion.
"""

import numpy as np
from concordance_inference.harmony.content_mod import with_contents
from concordance_inference.harmony.format import HarmonyFormat
from concordance_inference.harmony.place import START, after_text, after_token
from concordance_inference.output_format import OutputFormat
from concordance_inference.tools.offer import ToolChoice, parameters_of, tool_offer
from concordance_sdk.constraints import JsonSchema, Regex, compile_constraint
from concordance_sdk.testing import ByteTokenizer
from concordance_shared import ConstraintError, FunctionSchema, Tool

from naive.channels import HARMONY, format_of
from naive.outcome import Fault

_RETURN, _CALL = (next(i for i in HARMONY if HARMONY[i] == name) for name in ("return_", "call"))


def with_formats(mods, request, world):
    """The mods of a request for the engine, with the one that enforces its formats."""
    if not request.formats:
        return tuple(mods)
    regex = request.formats.get("final")
    output = OutputFormat(kind="regex", value=regex, param="regex") if regex else None
    tools = [_tool(*each) for each in request.formats.get("tools", {}).items()]
    offer = tool_offer(tools, ToolChoice(), HarmonyFormat.tool_format)
    tokens = format_of("harmony", world).tokens
    return with_contents(mods, tokens, output, offer, tuple(request.stop_ids))


class Contents:
    """The last mod of a request of the executor."""

    on = frozenset({"ForwardPass", "Added"})
    max_backtrack = 0
    reads = False

    def __init__(self, request, world):
        """Start before the first event; `executor` is set before the first one."""
        self.executor = None
        self._request, self._world = request, world
        self.name = "regex" if request.formats.get("final") else "tools"
        self._tokenizer = ByteTokenizer()

    def act(self, event):
        """Return the action for an event: a list of its kind and values."""
        ids = self.executor.ids
        try:
            if event.name == "ForwardPass":
                return self._at_position(ids)
            action = self._after(ids, event.step)
        except ConstraintError as exc:
            raise Fault("ConstraintError", None, event.name, event.step) from exc
        return ["noop"] if ids[-1] in self._request.stop_ids else action

    def _at_position(self, ids):
        begin, constraint, end_id = self._message(ids)
        if constraint is None:
            return ["noop"]
        matcher = self._matcher(constraint, ids[begin:])
        if action := _following(matcher, end_id):
            return action
        bits = np.unpackbits(np.frombuffer(bytes(matcher.mask()), np.uint8), bitorder="little")
        return ["logits", {"mask": [int(i) for i in np.flatnonzero(bits)]}]

    def _after(self, ids, step):
        """The action after the tokens from a step on."""
        begin, constraint, end_id = self._message(ids)
        if constraint is None:
            begin, constraint, end_id = self._message(ids[:step])
        if constraint is None:
            return ["noop"]
        matcher = self._matcher(constraint, ids[begin:])
        has_ended = begin > step or self._matcher(constraint, ids[begin:step]).is_complete
        if has_ended or matcher.is_ended_by_eos:
            return ["noop"]
        return _following(matcher, end_id) or ["noop"]

    def _message(self, ids):
        """Where the message begins that a completion ends in, its constraint, and its end."""
        place, begin, tokens = START, 0, format_of("harmony", self._world).tokens
        for i, token_id in enumerate(ids):
            before = place
            if token_id in HARMONY:
                place = after_token(place, token_id, tokens)
            else:
                place = after_text(place, self._world.piece(token_id), tokens)
            begin = begin if place is before else i + 1
        if place.kind != "content" or place.header.is_of_other:
            return 0, None, None
        recipient, formats = place.header.recipient, self._request.formats
        if recipient in formats.get("tools", {}):
            tool = _tool(recipient, formats["tools"][recipient])
            return begin, JsonSchema(parameters_of(tool)), _CALL
        is_final = recipient in (None, "all", "user", "assistant")
        if is_final and place.header.channel == "final" and formats.get("final"):
            return begin, Regex(formats["final"]), _RETURN
        return 0, None, None

    def _matcher(self, constraint, ids):
        """A new matcher that was given the tokens of a message, up to the end of its text."""
        matcher = compile_constraint(constraint, self._tokenizer).start()
        for token_id in ids:
            if matcher.is_complete or matcher.is_ended_by_eos:
                break
            matcher.extend([token_id])
        if matcher.is_complete or matcher.is_ended_by_eos:
            matcher.check()
        return matcher


def _tool(name, schema):
    return Tool(function=FunctionSchema(name=name, parameters=schema))


def _following(matcher, end_id):
    """Force what must follow a text, if that is known."""
    if matcher.is_complete:
        return ["force", [end_id]]
    return ["force", forced] if (forced := list(matcher.forced())) else None
