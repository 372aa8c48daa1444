"""`play`, and the byte tokenizer it uses."""

import math

import pytest
from concordance_sdk import Added, ForwardPass, Prefilled, Sampled, mod
from concordance_sdk.testing import ByteTokenizer, play
from concordance_shared import InvalidRequestError
from hypothesis import given
from hypothesis import strategies as st


@given(st.text())
def test_bytes_round_trip(text):
    tokenizer = ByteTokenizer()

    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_name_of_the_eos_token_is_recognized():
    tokenizer = ByteTokenizer()

    assert tokenizer.encode("a<eos>b") == [97, 256, 98]
    assert tokenizer.decode([97, 256, 98]) == "a<eos>b"
    assert tokenizer.decode([97, 256, 98], skip_special_tokens=True) == "ab"


def test_script_can_be_a_function():
    assert play(script=lambda completion: 65 + len(completion), max_tokens=4).text == "ABCD"


def test_forward_passes_are_counted():
    @mod(on=[ForwardPass])
    def greet(event, actions, tokenizer):
        if event.step == 0:
            return actions.force_tokens(tokenizer.encode("Hello, "))

    assert play(greet, script="xxxxxxxyou").passes == 5


def test_callable_without_mod_decorator_can_be_played():
    def shout(event, actions):
        if isinstance(event, Added) and not event.forced and event.step == 0:
            return actions.backtrack(1, b"HEY ")

    assert play(shout, script="hxxxyou").text == "HEY you"


def test_empty_prompt_has_a_token_to_prefill():
    assert play(script="").reads == ((62,),)


def test_common_parameters_are_not_given_to_functions():
    with pytest.raises(TypeError):
        play(3)


def test_logprob_of_a_sampled_token_is_that_of_the_model_before_mods():
    seen = []

    @mod(on=[ForwardPass, Sampled])
    def reads(event, actions):
        if isinstance(event, ForwardPass):
            seen.append(event.logits.logprob(ord("b")))
            return actions.adjust_logits(allow=b"b")
        seen.append(event.logprob)

    assert play(reads, script="a", max_tokens=1).text == "b"
    assert seen == [-math.log(256 + math.e)] * 2


def test_logprob_is_read_while_its_event_is_handled():
    kept = []

    @mod(on=[Sampled])
    def keeps(event, actions):
        kept.append(event)
        if event.step == 1:
            assert event.logprob < 0

    play(keeps, script="ab", max_tokens=2)

    assert kept[1].logprob < 0
    with pytest.raises(ValueError, match="step 0 can be read only while the event is handled"):
        kept[0].logprob  # noqa: B018


def test_kept_logits_are_read_later_as_they_were_also_after_a_backtrack():
    kept, read = [], []

    @mod(on=[ForwardPass, Added], max_backtrack=3)
    def keeps(event, actions):
        if isinstance(event, ForwardPass):
            kept.append(event.logits)
            return actions.adjust_logits(ban=b"x")
        if event.step == 2 and not event.forced:
            read.extend(logits.top_k(1)[0][0] for logits in kept)
            return actions.backtrack(3, b"xyz")

    assert play(keeps, script="abcd").text == "xyzd"
    assert bytes(read) == b"abc"


def test_prompt_logprobs_are_those_of_a_model_that_knows_no_prompt():
    seen = []

    @mod(on=[Prefilled, ForwardPass])
    def asks(event, actions):
        if isinstance(event, Prefilled):
            return actions.adjust_prefill(b"abc", logprobs=True)
        seen.append(event.prompt_logprobs)
        return actions.adjust_logits(ban=b"x")

    @mod(on=[ForwardPass])
    def reads(event, actions):
        seen.append(event.prompt_logprobs)

    play(asks, reads, script="ab", max_tokens=2)

    assert seen[0] == seen[1] == (None, -math.log(257), -math.log(257))
    assert seen[2:] == [None, None]


@pytest.mark.parametrize("tokens", [None, []])
@pytest.mark.parametrize("options", [{"says": "ab"}, {"says": ""}, {"script": lambda _: 97}])
def test_a_mod_that_backtracks_nothing_ends(tokens, options):
    @mod(on=[Added])
    def nothing(event, actions):
        return actions.backtrack(0, tokens)

    assert len(play(nothing, max_tokens=5, **options).token_ids) <= 5


def test_a_script_without_an_end_token_ends_at_max_tokens():
    played = play(script=lambda completion: 97, max_tokens=7)

    assert (played.text, played.finish_reason) == ("a" * 7, "length")


def test_unknown_role_of_a_message_lists_the_roles():
    with pytest.raises(InvalidRequestError, match=r"role: invalid enum value 'usr'; .* user, "):
        play(says="a", messages=[{"role": "usr", "content": "Hi"}])
