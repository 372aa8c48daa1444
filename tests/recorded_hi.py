"""A completion of the fake engine that is recorded in traces."""

from fake_engine import says


def record(request):
    """Record a completion "Hi" of two tokens, as an engine does, and return its updates."""
    if recorder := request.recorder:
        recorder.begin((), (), 7)
        if recorder.traces_tokens:
            for i, token_id in enumerate(b"Hi"):
                recorder.drew(token_id, i)
                recorder.edited(i, (token_id,), None, forced=False)
                recorder.values(i, [-0.5, 0.0, 1.5, 0.0, token_id, -0.5, 0.0], is_adjusted=False)
        recorder.end(
            {
                "token_ids": [*request.prompt_ids, *b"Hi"],
                "prompt_tokens": len(request.prompt_ids),
                "cached_tokens": 0,
                "completion_tokens": 2,
                "forced_tokens": 0,
                "backtracked_tokens": 0,
                "finish_reason": "stop",
                "error": None,
                "seed": 7,
                "usage": (),
                "actions": (),
            }
        )
    return says("Hi")
