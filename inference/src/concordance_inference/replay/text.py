"""The result of a replay as lines of text."""

from collections.abc import Iterator, Sequence

from concordance_inference.replay.difference import Difference
from concordance_inference.traces.schema import Alternative, Trace, TraceToken


def text_of_replay(
    recorded: Trace, difference: Difference | None, num_same: int, warnings: Sequence[str]
) -> str:
    """Describe a replay: equal, or the first difference from both sides."""
    notes = [f"note: {warning}" for warning in warnings]
    return "\n".join([*_result(recorded, difference, num_same), *notes])


def _result(recorded: Trace, difference: Difference | None, num_same: int) -> Iterator[str]:
    name, tokens = f"trace {recorded.id}", f"{num_same} token{'s' * (num_same != 1)}"
    if difference is None:
        end = recorded.error or recorded.finish_reason or recorded.status
        yield f"{name}: same {tokens}, and the same end ({end})"
        return
    if difference.ends is not None:
        yield f"{name}: same {tokens}, and another end"
        yield f"  recorded  {difference.ends[0]}"
        yield f"  replayed  {difference.ends[1]}"
        return
    yield f"{name}: differs at position {difference.position}, after {tokens} that are the same"
    yield f"  context   {difference.context!r}"
    yield from _side("recorded", difference.recorded)
    yield from _side("replayed", difference.replayed)


def _side(side: str, token: TraceToken | None) -> Iterator[str]:
    if token is None:
        yield f"  {side}  no further token"
        return
    yield f"  {side}  {token.token_id} {token.text!r}, {_source(token)}{_numbers(token)}"
    if token.alternatives:
        yield f"            of {', '.join(map(_alternative, token.alternatives))}"


def _source(token: TraceToken) -> str:
    """Who made a token, and who removed it."""
    by = f" by {token.mod}" if token.mod else ""
    removed = "" if token.status == "kept" else f", {token.status}"
    removed_by = f" by {token.removed_by}" if token.removed_by else ""
    return f"{token.origin}{by}{removed}{removed_by}"


def _numbers(token: TraceToken) -> str:
    named = {"logprob": token.logprob, "adjusted": token.adjusted_logprob}
    return "".join(f", {name} {value:.3f}" for name, value in named.items() if value is not None)


def _alternative(one: Alternative) -> str:
    """A token and its log-probability, after adjustments too where they changed it."""
    numbers = ["-inf" if one.logprob is None else f"{one.logprob:.3f}"]
    if one.adjusted_logprob != one.logprob:
        adjusted = one.adjusted_logprob
        numbers.append("not allowed" if adjusted is None else f"adjusted {adjusted:.3f}")
    return f"{one.text!r} ({', '.join(numbers)})"
