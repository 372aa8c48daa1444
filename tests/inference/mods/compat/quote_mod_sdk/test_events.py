"""The events of `quote_mod_sdk`."""

from concordance_sdk.testing import play


def test_prefilled_has_the_prompt_and_adjust_prefill_replaces_it(load):
    definition = load(
        """
from quote_mod_sdk import Prefilled, mod

@mod
def reword(event, actions, tokenizer):
    if isinstance(event, Prefilled):
        info = event.context_info
        prompt = tokenizer.decode(info.tokens[: info._prompt_len])
        tokens = tokenizer.encode(prompt.replace("hi", "bye"), False)
        return actions.adjust_prefill(tokens, max_steps=3)
    return actions.noop()
"""
    )
    played = play(definition, says="abcdef", prompt="Say hi.")

    assert bytes(played.prompt_ids) == b"Say bye."
    assert played.text == "abc"


def test_the_models_internals_are_none(load):
    definition = load(
        """
from quote_mod_sdk import ForwardPass, Prefilled, mod

@mod
def look(event, actions, tokenizer):
    if isinstance(event, Prefilled):
        assert event.input_ids == tokenizer.encode("Hi") == event.context_info.tokens
    if isinstance(event, ForwardPass):
        assert event.input_ids is None
        assert event.logits is not None and event.top_k_logprob(1)
    if isinstance(event, (ForwardPass, Prefilled)):
        assert event.hidden_states is event.attention_patterns is event.layer is None
"""
    )

    assert play(definition, says="ok", prompt="Hi").text == "ok"


def test_backtrack_accepts_the_older_keywords(load):
    definition = load(
        """
from quote_mod_sdk import Added, mod, tokenize

seen = {}

@mod
def softer(event, actions, tokenizer):
    if isinstance(event, Added) and not event.forced:
        tokens = seen[event.request_id] = seen.get(event.request_id, []) + event.added_tokens
        if tokenizer.decode(tokens).endswith("never"):
            return actions.backtrack(steps=len(tokenize("never", tokenizer)),
                                     tokens=tokenize("rarely", tokenizer))
    return actions.noop()
"""
    )

    assert play(definition, says="I never do", stream=True).text == "I rarely do"
    assert definition.max_backtrack is None
