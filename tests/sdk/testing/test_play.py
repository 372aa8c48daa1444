"""`play`, and the byte tokenizer it uses."""

import pytest
from concordance_sdk import Added, ForwardPass, mod
from concordance_sdk.testing import ByteTokenizer, play
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
