"""A trace as the older server returned it: events, calls of mods, what they printed, actions."""

from collections.abc import Iterator
from math import exp
from typing import Any

from concordance_inference.traces.schema import Alternative, Trace, TraceEvent, TraceToken

Entry = dict[str, Any]

#: Alternatives of a `ForwardPass`, and tokens of an action, that the older server had.
_NUM_TOP, _NUM_TOKENS = 3, 10

#: Characters of the text before a `ForwardPass`.
_INPUT = 200


def debug_entries(trace: Trace) -> list[Entry]:
    """Return the entries of a trace of the level `tokens`, oldest first.

    Calls that neither acted nor logged are not among them, since a trace only counts them.
    """
    return list(_Entries(trace).all())


class _Entries:
    """Puts each call of a mod under the event at which it was made."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._open = ("", -1)  # type and step of the last event
        self._pending: list[TraceToken] = []  # those whose `Added` comes next
        #: Of the end of the prompt, and of each token of the completion.
        self._texts = [(trace.prompt or "")[-_INPUT:]]

    def all(self) -> Iterator[Entry]:
        yield self._event("Prefilled", 0, prompt_length=self._trace.prompt_tokens)
        tokens = iter([*self._trace.tokens, None])
        token = next(tokens)
        for call in [*self._trace.events, None]:
            while token is not None and (call is None or _is_before(token, call)):
                yield from self._of_token(token)
                token = next(tokens)
            if call is not None and call.event != "command":
                yield from self._of_call(call, token)
        yield from self._added()

    def _of_token(self, token: TraceToken) -> Iterator[Entry]:
        if token.origin == "sampled":
            yield from self._added()
            yield from self._forward_pass(token)
            yield self._event("Sampled", token.position, token_text=token.text)
        elif self._pending and self._pending[-1].event != token.event:
            yield from self._added()
        if token.status != "replaced":
            self._pending.append(token)

    def _of_call(self, call: TraceEvent, token: TraceToken | None) -> Iterator[Entry]:
        """The entries of a call; `token` follows it."""
        if call.event == "Added":
            yield from self._added()
        if call.event == "ForwardPass" and self._open != ("ForwardPass", call.position):
            yield from self._added()
            is_next = token is not None and token.position == call.position
            yield from self._forward_pass(token if is_next else None, call.position)
        elif self._open[0] != call.event:
            yield self._event(call.event, call.position)
        yield from _call_entries(call)

    def _forward_pass(self, token: TraceToken | None, step: int | None = None) -> Iterator[Entry]:
        at = token.position if step is None and token is not None else step or 0
        if self._open == ("ForwardPass", at):
            return
        top = (
            {"top_tokens": [_top(each) for each in token.alternatives[:_NUM_TOP]]} if token else {}
        )
        text = "".join(self._texts[max(0, at - _INPUT) : at + 1])[-_INPUT:]
        yield self._event("ForwardPass", at, input_text=text, **top)

    def _added(self) -> Iterator[Entry]:
        if not self._pending:
            return
        tokens, self._pending = self._pending, []
        first = tokens[0].position
        self._texts[first + 1 :] = [token.text for token in tokens]
        forced = {"forced": True} if tokens[0].origin != "sampled" else {}
        texts = [token.text for token in tokens]
        yield self._event("Added", first, token_count=len(texts), tokens=texts, **forced)

    def _event(self, event_type: str, step: int, **details: Any) -> Entry:
        self._open = (event_type, step)
        return {"type": "event", "event_type": event_type, "step": step, "details": details}


def _is_before(token: TraceToken, call: TraceEvent) -> bool:
    """True if a token was sampled or added before a call was made."""
    if token.event is not None:
        return token.event < call.index
    return token.at_ms < call.at_ms or (token.at_ms == call.at_ms and call.event != "ForwardPass")


def _call_entries(call: TraceEvent) -> Iterator[Entry]:
    yield {
        "type": "mod_call",
        "mod_name": call.mod,
        "event_type": call.event,
        "step": call.position,
    }
    for log in call.logs:
        yield {"type": "mod_log", "mod_name": call.mod, "message": log.text}
    if call.error is not None:
        details = {"error": call.error}
        yield {"type": "action", "action_type": "EmitError", "details": details}
    elif call.action not in ("", "Noop"):
        yield {"type": "action", "action_type": call.action, "details": _details(call)}


def _details(call: TraceEvent) -> dict[str, Any]:
    """The details of an action, by the older server's names."""
    given = call.details
    found: dict[str, Any] = {"n": given["n"]} if "n" in given else {}
    if ids := given.get("token_ids"):
        count = given.get("num_tokens", len(ids))
        if call.action == "AdjustedPrefill":
            return {"new_length": count}
        found |= {"tokens_preview": str(ids[:_NUM_TOKENS]), "token_count": count}
    if "error" in given:
        found["error"] = given["error"]
    if "token_temp" in given:
        found["temperature"] = given["token_temp"]
    if call.action == "ToolCalls":
        found["has_tool_calls"] = True
    return found


def _top(alternative: Alternative) -> dict[str, Any]:
    logprob = alternative.adjusted_logprob
    probability = 0.0 if logprob is None else round(exp(logprob), 6)
    return {"token": alternative.token_id, "token_str": alternative.text, "prob": probability}
