from concordance_inference.mods.compat.quote_mod_sdk.debug_entries import debug_entries
from concordance_inference.mods.compat.quote_mod_sdk.debug_text import debug_text
from concordance_inference.traces.schema import (
    Alternative,
    Trace,
    TraceEvent,
    TraceLog,
    TraceToken,
)

TOP = [Alternative(token_id=5, text=" Paris", logprob=-0.1, adjusted_logprob=-0.1)]


def traced():
    """Sampled, adjusted and sampled, backtracked and replaced by two forced tokens."""
    return Trace(
        id="t",
        prompt="Where?",
        prompt_tokens=4,
        tokens=[
            TraceToken(index=0, position=0, token_id=1, text="In", alternatives=TOP, at_ms=1),
            TraceToken(
                index=1,
                position=1,
                token_id=5,
                text=" Paris",
                status="backtracked",
                removed_at=2,
                alternatives=TOP,
                at_ms=3,
            ),
            TraceToken(
                index=2, position=1, token_id=6, text=" Ly", origin="forced", event=2, at_ms=4
            ),
            TraceToken(
                index=3, position=2, token_id=7, text="on", origin="forced", event=2, at_ms=4
            ),
        ],
        events=[
            TraceEvent(
                index=0,
                mod="watch",
                event="Sampled",
                action="Noop",
                position=0,
                logs=[TraceLog(mod="watch", text="saw In\n")],
                at_ms=1.5,
            ),
            TraceEvent(
                index=1,
                mod="bias",
                event="ForwardPass",
                action="AdjustedLogits",
                position=1,
                details={"bias": 2, "token_temp": 0.5},
                at_ms=2,
            ),
            TraceEvent(
                index=2,
                mod="replace",
                event="Added",
                action="Backtrack",
                position=2,
                details={"n": 1, "token_ids": [6, 7], "num_tokens": 2},
                at_ms=4,
            ),
        ],
    )


def test_entries_have_each_call_under_its_event():
    entries = debug_entries(traced())

    names = [each.get("event_type", each.get("action_type", each["type"])) for each in entries]
    assert names == [
        "Prefilled",
        "ForwardPass",
        "Sampled",
        "Sampled",  # the call
        "mod_log",
        "Added",
        "ForwardPass",
        "ForwardPass",  # the call
        "AdjustedLogits",
        "Sampled",
        "Added",
        "Added",  # the call
        "Backtrack",
        "Added",
    ]
    assert entries[6]["details"] == {
        "input_text": "Where?In",
        "top_tokens": [{"token": 5, "token_str": " Paris", "prob": 0.904837}],
    }
    assert entries[8]["details"] == {"temperature": 0.5}
    assert entries[12]["details"] == {"n": 1, "tokens_preview": "[6, 7]", "token_count": 2}
    assert entries[13]["details"] == {"token_count": 2, "tokens": [" Ly", "on"], "forced": True}


def test_the_tree_is_that_of_the_older_server():
    assert debug_text(debug_entries(traced())).splitlines() == [
        "GenStart",
        "├──[Prefilled] Init Prompt Length: 4",
        '├──[ForwardPass] Input: "Where?", top 3: [" Paris": 0.90]',
        '├──[Sampled] Sampled: "In"',
        "│     └─ watch(Sampled)",
        "│           └ Logs:",
        "│               saw In",
        "│",
        '├──[Added] 1 token(s), tokens: ["In"]',
        '├──[ForwardPass] Input: "Where?In", top 3: [" Paris": 0.90]',
        "│     ├─ bias(ForwardPass)",
        "│   <─┴ AdjustedLogits(temp: 0.5)",
        '├──[Sampled] Sampled: " Paris"',
        '├──[Added] 1 token(s), tokens: [" Paris"]',
        "│     ├─ replace(Added)",
        "│   <─┴ Backtrack(n: 1, tokens: [6, 7], 2 token(s))",
        '├──[Added] 2 token(s), tokens: [" Ly", "on"], forced',
        "Done",
    ]


def test_colours_are_there_if_asked_for_and_texts_of_tokens_bring_none():
    trace = Trace(
        id="t", tokens=[TraceToken(index=0, position=0, token_id=1, text="\x1b[31m", at_ms=1)]
    )

    assert "\x1b" not in debug_text(debug_entries(trace))
    assert "\x1b[36m[Sampled]\x1b[0m" in debug_text(debug_entries(trace), ansi_color=True)


def test_a_token_that_was_replaced_before_it_was_added_has_no_added_event():
    tokens = [
        TraceToken(index=0, position=0, token_id=1, text="a", status="replaced", at_ms=1),
        TraceToken(index=1, position=0, token_id=2, text="b", origin="forced", event=0, at_ms=2),
    ]
    call = TraceEvent(
        index=0, mod="m", event="Sampled", action="ForceTokens", position=0, at_ms=1.5
    )

    entries = debug_entries(Trace(id="t", tokens=tokens, events=[call]))

    events = [each["event_type"] for each in entries if each["type"] == "event"]
    assert events == ["Prefilled", "ForwardPass", "Sampled", "Added"]
    assert entries[-1]["details"]["tokens"] == ["b"]
