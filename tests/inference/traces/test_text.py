from concordance_inference.traces.schema import (
    Alternative,
    Trace,
    TraceEvent,
    TraceLog,
    TraceToken,
)
from concordance_inference.traces.text import text_of_trace


def lines_of(**fields):
    return text_of_trace(Trace(id="t", **fields)).splitlines()


def test_a_line_says_who_wrote_a_token_who_removed_it_and_what_else_was_probable():
    tops = [
        Alternative(token_id=5, text=" Paris", logprob=-0.1, adjusted_logprob=-0.1),
        Alternative(token_id=6, text=" Rome", logprob=-3.0, adjusted_logprob=-2.0),
        Alternative(token_id=7, text=" Oslo", logprob=-4.0),
    ]
    event = TraceEvent(index=0, mod="replace", event="Added", action="Backtrack", position=1)
    lines = lines_of(
        tokens=[
            TraceToken(
                index=0,
                position=0,
                token_id=5,
                text=" Paris",
                status="backtracked",
                removed_by="replace",
                removed_at=0,
                logprob=-0.1,
                adjusted_logprob=-0.1,
                entropy=0.5,
                allowed=17,
                alternatives=tops,
            ),
            TraceToken(
                index=1,
                position=0,
                token_id=8,
                text=" Lyon",
                origin="forced",
                mod="replace",
                event=0,
                at_ms=1,
            ),
        ],
        events=[event],
    )

    (removed,) = [line for line in lines if line.startswith("-")]
    assert "sampled, backtracked by replace at Added" in removed
    assert "logprob=-0.100  adjusted=-0.100  entropy=0.500  allowed=17" in removed
    assert removed.endswith("others: ' Rome' 5.0% -> 13.5%, ' Oslo' 1.8% not allowed")
    assert any("' Lyon'" in line and "forced by replace at Added" in line for line in lines)


def test_no_text_of_a_mod_or_a_client_changes_a_terminal():
    log = TraceLog(mod="m", text="\x1b[2J")
    text = text_of_trace(
        Trace(
            id="t",
            error="\x1b[2J",
            prompt="\x1b[2J",
            parameters={"stop": "\x1b[2J"},
            logs=[log],
            events=[
                TraceEvent(
                    index=0,
                    mod="m",
                    event="Added",
                    action="EmitError",
                    position=0,
                    details={"error": "\x1b[2J"},
                    error="\x1b[2J",
                    logs=[log],
                )
            ],
        )
    )

    assert "\x1b" not in text
    assert "         | \\x1b[2J" in text
