"""Traces to show in the inspector."""

import time

from concordance_inference.traces.schema import (
    Alternative,
    HandlerTotal,
    Trace,
    TraceEvent,
    TraceLog,
    TraceMod,
    TraceStep,
    TraceToken,
)

_LETTERS = "abcde"


def long_trace(count):
    """A trace of many tokens, of which a mod replaces each tenth, and logs."""
    return Trace(
        id=f"long-{count}",
        created=time.time(),
        status="ended",
        finish_reason="length",
        text="Many words.",
        completion_tokens=count - count // 10,
        mods=[TraceMod(name="fixer", calls=count, microseconds=5 * count)],
        handlers=[HandlerTotal(mod="fixer", event="Added", calls=count, microseconds=9.0 * count)],
        tokens=[_token(i) for i in range(count)],
        events=[_backtrack(i) for i in range(count // 10)],
        steps=[TraceStep(index=i, step=i, rows=1, row=0, tokens=1, at_ms=i) for i in range(count)],
    )


def _token(i):
    """Token 1 of 10 is backtracked, and token 2 is forced in its place."""
    fields = {"index": i, "token_id": i, "at_ms": i, "position": i - (i + 8) // 10}
    if i % 10 == 2:
        return TraceToken(text=" forced", origin="forced", mod="fixer", event=i // 10, **fields)
    removed = {"status": "backtracked", "removed_by": "fixer", "removed_at": i // 10}
    return TraceToken(
        text=" word" if i % 40 else "\n",
        logprob=-0.4,
        adjusted_logprob=-0.4,
        entropy=1.0,
        alternatives=_alternatives(),
        **fields,
        **(removed if i % 10 == 1 else {}),
    )


def _alternatives():
    return [
        Alternative(token_id=i, text=f" {text}", logprob=-1.0 - i, adjusted_logprob=-1.0 - i)
        for i, text in enumerate(_LETTERS)
    ]


def _backtrack(i):
    return TraceEvent(
        index=i,
        mod="fixer",
        event="Added",
        action="Backtrack",
        position=9 * i + 2,
        details={"n": 1, "token_ids": [1]},
        forced_tokens=1,
        backtracked_tokens=1,
        microseconds=42.0,
        logs=[TraceLog(mod="fixer", text=f"line {i}")],
        at_ms=10 * i + 1.5,
    )


def short_trace():
    """A trace with one token of each kind.

    given, restricted to three tokens, listened to, replaced by a mod, forced in its place, removed
    by the engine
    """
    allowed = [
        Alternative(token_id=0, text=" no", logprob=-0.1),
        Alternative(token_id=1, text=" yes", logprob=-3.0, adjusted_logprob=-0.2),
        Alternative(token_id=2, text=" sure", logprob=-4.0, adjusted_logprob=-2.0),
    ]
    same = [Alternative(token_id=5, text=" so", logprob=-0.5, adjusted_logprob=-0.5)]
    sampled = {"entropy": 0.7, "logprob": -3.0, "adjusted_logprob": -0.2}
    plain = {"entropy": 0.7, "logprob": -0.5, "adjusted_logprob": -0.5, "alternatives": same}
    removed = {"status": "replaced", "removed_by": "swap", "removed_at": 2}
    return Trace(
        id="short",
        created=time.time(),
        status="ended",
        finish_reason="stop",
        text="Well yes",
        mods=[TraceMod(name="only"), TraceMod(name="swap")],
        handlers=[HandlerTotal(mod="swap", event="Sampled", calls=4, microseconds=6000.0)],
        logs=[_log("only", "I was made")],
        tokens=[
            TraceToken(index=0, position=0, token_id=9, text="Well", origin="given"),
            TraceToken(
                index=1,
                position=1,
                token_id=1,
                text=" yes",
                at_ms=2,
                allowed=3,
                alternatives=allowed,
                **sampled,
            ),
            TraceToken(index=2, position=2, token_id=5, text=" so", at_ms=4, **plain),
            TraceToken(index=3, position=3, token_id=5, text=" so", at_ms=6, **plain, **removed),
            TraceToken(
                index=4,
                position=3,
                token_id=7,
                text=" be",
                at_ms=8,
                origin="forced",
                mod="swap",
                event=2,
            ),
            TraceToken(
                index=5, position=4, token_id=5, text=" so", at_ms=9, status="backtracked", **plain
            ),
        ],
        events=[
            _call(0, "only", "ForwardPass", "AdjustedLogits", 1, details={"allow": 3}, at_ms=1),
            _call(1, "only", "ForwardPass", "Noop", 2, logs=[_log("only", "I listen")], at_ms=3),
            _call(2, "swap", "Sampled", "ForceTokens", 3, logs=[_log("swap", "better")], at_ms=7),
        ],
    )


def _call(index, mod, event, action, position, **fields):
    return TraceEvent(
        index=index,
        mod=mod,
        event=event,
        action=action,
        position=position,
        microseconds=1500.0,
        **fields,
    )


def _log(mod, text):
    return TraceLog(mod=mod, text=text)
