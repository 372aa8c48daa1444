"""Hints for the exceptions that handlers commonly raise."""

import pytest
from concordance_sdk import (
    Added,
    Finished,
    Follower,
    ForceTokens,
    ForwardPass,
    Message,
    ModRaisedError,
    Prefilled,
    Sampled,
    Tool,
    get_conversation,
    mod,
)
from concordance_sdk.testing import play
from concordance_shared import FunctionSchema

TOOL = Tool(function=FunctionSchema(name="f"))


def message_for(event_type, mistake):
    @mod(on=[event_type])
    def faulty(event, actions, tokenizer):
        mistake(event, actions, tokenizer)

    with pytest.raises(ModRaisedError) as raised:
        play(faulty, says="ab", messages=[Message(role="user", content="hello")])
    return raised.value.message


MISTYPED = [
    (
        Sampled,
        lambda e, a, t: e.token,
        "'sampled_token'? A Sampled has: channel, in_header, logprob, place, ",
    ),
    (Sampled, lambda e, a, t: e.log_prob, "did you mean 'logprob'?"),
    (Added, lambda e, a, t: e.logprob, "it is a field of Sampled"),
    (Sampled, lambda e, a, t: e.token_id, "did you mean 'sampled_token'?"),
    (Sampled, lambda e, a, t: e.tokens, "did you mean 'sampled_token'?"),
    (Sampled, lambda e, a, t: e.sampledToken, "did you mean 'sampled_token'?"),
    (
        Added,
        lambda e, a, t: e.tokens,
        "'added_tokens'? An Added has: added_tokens, channel, forced",
    ),
    (Added, lambda e, a, t: e.text, "; an Added has: added_tokens, channel, forced"),
    (Added, lambda e, a, t: e.logits, "it is a field of ForwardPass: check `isinstance"),
    (Prefilled, lambda e, a, t: e.sampled_token, "it is a field of Sampled"),
    (Prefilled, lambda e, a, t: e.context, "did you mean 'context_info'?"),
    (Prefilled, lambda e, a, t: e.max_tokens, "did you mean 'max_steps'?"),
    (Prefilled, lambda e, a, t: e.context_info.token, "did you mean 'tokens'? A ContextInfo has:"),
    (Prefilled, lambda e, a, t: e.context_info.length, "; a ContextInfo has: prompt_len, tokens"),
    (Finished, lambda e, a, t: e.reason, "did you mean 'finish_reason'?"),
    (ForwardPass, lambda e, a, t: e.logits.topk(3), "did you mean 'top_k'? A Logits has: "),
    (ForwardPass, lambda e, a, t: e.logits.numpy(), "did you mean 'to_numpy'?"),
    (ForwardPass, lambda e, a, t: e.logits.argmax(), "did you mean 'top_k'?"),
    (ForwardPass, lambda e, a, t: e.logits.softmax(), "did you mean 'logprobs'?"),
    (Added, lambda e, a, t: setattr(e, "step", 3), "events and actions cannot be changed"),
    (Added, lambda e, a, t: a.forceTokens(b"a"), "'force_tokens'? The methods of `actions` are: "),
    (Added, lambda e, a, t: a.force(b"a"), "did you mean 'force_output' or 'force_tokens'?"),
    (Added, lambda e, a, t: a.ban([1]), "did you mean 'adjust_logits'?"),
    (Added, lambda e, a, t: a.end(), "did you mean 'stop'?"),
    (Added, lambda e, a, t: a.rewind(2), "did you mean 'backtrack'?"),
    (Added, lambda e, a, t: a.error("no"), "did you mean 'emit_error'?"),
    (Added, lambda e, a, t: a.stop().token, "did you mean 'tokens'? A ForceTokens has: tokens"),
    (Added, lambda e, a, t: t.tokenize("a"), "a ByteTokenizer has: decode, encode"),
    (Added, lambda e, a, t: get_conversation()[-1].contents, "did you mean 'content'?"),
    (Added, lambda e, a, t: get_conversation()[-1].message, "a Message has: content, name"),
    (Added, lambda e, a, t: get_conversation().text, "take one of its elements, as in [-1].text"),
    (Added, lambda e, a, t: "".joined(), "did you mean 'join'?"),
]


@pytest.mark.parametrize(("event_type", "mistake", "hint"), MISTYPED)
def test_a_mistyped_field_or_method_is_named_with_those_that_exist(event_type, mistake, hint):
    assert hint in message_for(event_type, mistake)


def test_fields_that_authors_cannot_use_are_not_suggested():
    message = message_for(ForwardPass, lambda e, a, t: e.logits.adjust(a))

    assert "adjusted" not in message
    assert "made" not in message_for(Added, lambda e, a, t: a.mode).partition("are:")[2]


ITEMS = [
    (lambda e, a, t: get_conversation()[-1]["content"], "such as `.text` or `.content`. It has: "),
    (lambda e, a, t: get_conversation[-1], "a function is called with parentheses first"),
    (lambda e, a, t: e["added_tokens"], "its fields are attributes, such as `.added_tokens`"),
    (lambda e, a, t: t("text"), "use tokenizer.encode(text) and tokenizer.decode(token_ids)"),
    (lambda e, a, t: t.decode(5), "decode takes a list of token ids: tokenizer.decode([token_id])"),
    (lambda e, a, t: t.encode(None), "encode takes a text: tokenizer.encode(text)"),
    (lambda e, a, t: t.encode(["a"]), "encode takes a text: tokenizer.encode(text)"),
    (lambda e, a, t: t.vocab_size(), "a field is read without parentheses"),
    (lambda e, a, t: ForceTokens(), "; the arguments of ForceTokens are: tokens"),
    (lambda e, a, t: Message("user", "hi"), "; the arguments of Message are: role, content"),
    (lambda e, a, t: TOOL.name, "did you mean 'function.name'? A Tool has: function, type"),
    (lambda e, a, t: a("text"), "call one of its methods: adjust_logits, "),
]


@pytest.mark.parametrize(("mistake", "hint"), ITEMS)
def test_an_object_that_is_used_as_a_mapping_or_function_has_a_hint(mistake, hint):
    assert hint in message_for(Added, mistake)


ARGUMENTS = [
    (lambda e, a, t: a.report("p", 1), "; give values by name: `actions.report(key=value)`"),
    (lambda e, a, t: a.adjust_logits(temperature=1), "did you mean 'token_temp'? Its arguments"),
    (lambda e, a, t: a.adjust_logits(banned=[1]), "did you mean 'ban'?"),
    (lambda e, a, t: a.force_tokens(ids=[1]), "; its arguments are: tokens"),
    (lambda e, a, t: a.force_tokens(), "; its arguments are: tokens"),
    (lambda e, a, t: a.backtrack(1, 2, 3), "; its arguments are: n, tokens"),
    (lambda e, a, t: a.backtrack(count=2), "; its arguments are: n, tokens"),
]


@pytest.mark.parametrize(("mistake", "hint"), ARGUMENTS)
def test_wrong_arguments_of_an_action_are_named_with_the_right_ones(mistake, hint):
    assert hint in message_for(Added, mistake)


def test_an_unknown_name_is_suggested_or_imported():
    assert "did you mean 'MISTYPED'?" in message_for(Added, lambda e, a, t: MISTYPD)  # noqa: F821
    assert "from concordance_sdk import use" in message_for(Added, lambda e, a, t: use)  # noqa: F821


def test_a_mistyped_attribute_of_the_mod_itself_is_suggested():
    @mod
    class Count:
        def __init__(self):
            self.counter = 0

        def added(self, event, actions):
            self.count += 1

    with pytest.raises(ModRaisedError, match=r"no attribute 'count'.*; did you mean 'counter'\?"):
        play(Count, says="a")


def test_a_hint_never_hides_the_exception():
    class Odd(Follower):
        @property
        def value(self):
            return self.missing

        def __dir__(self):
            raise RuntimeError("no names")

        def added(self, event, actions, tokenizer):
            return self.value

    @mod
    class Whole:
        def parts(self):
            return [Odd()]

    with pytest.raises(ModRaisedError, match="'Odd' object has no attribute 'missing'"):
        play(Whole, says="a")


def set_item(event, actions, tokenizer):
    event.logits[3] = 0.0


@pytest.mark.parametrize("change", [set_item, lambda event, a, t: event.logits + 1])
def test_logits_that_are_changed_in_place_suggest_an_adjustment(change):
    assert "return actions.adjust_logits(bias={token_id: amount})" in message_for(
        ForwardPass, change
    )
