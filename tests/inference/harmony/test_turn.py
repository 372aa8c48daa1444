import o200k
import pytest
from concordance_inference.harmony.encoding import TOKENS
from concordance_inference.harmony.place import START, Header
from concordance_inference.harmony.turn import turn_after
from tokenizers import Tokenizer


@pytest.fixture(name="tokenizer", scope="module")
def _tokenizer():
    return Tokenizer.from_file(str(o200k.tokenizer_json()))


def opened(tokenizer, prompt):
    ids = tokenizer.encode(prompt).ids
    return turn_after(ids, TOKENS, lambda i: tokenizer.decode([i]).encode()).opened


@pytest.mark.parametrize(
    "prompt", ["<|start|>user<|message|>Hi<|end|><|start|>assistant", "Hi", ""]
)
def test_prompts_that_end_with_the_role_of_the_assistant_open_a_header(tokenizer, prompt):
    assert opened(tokenizer, prompt) == START


def test_prompts_that_end_within_a_message_open_its_content(tokenizer):
    place = opened(tokenizer, "<|start|>assistant<|channel|>final<|message|>Once <|upon")
    assert (place.kind, place.header) == ("content", Header(channel="final"))


def test_prompts_that_end_within_a_header_open_the_rest_of_it(tokenizer):
    place = opened(tokenizer, "<|start|>assistant<|channel|>commentary to=functions.f")
    assert place.kind == "header"
    assert place.written == (b"assistant", TOKENS.channel, b"commentary to=functions.f")


def test_prompts_that_end_with_a_whole_message_open_nothing(tokenizer):
    assert opened(tokenizer, "<|start|>user<|message|>Hi<|end|>").kind == "between"


def test_only_tokens_that_do_not_end_a_completion_are_kept():
    turn = turn_after([], TOKENS, lambda i: b"")
    assert set(turn.kept_ids()) == {200003, 200005, 200006, 200007, 200008}
