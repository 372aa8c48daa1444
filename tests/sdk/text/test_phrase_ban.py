"""What is banned is not said, and everything else is."""

import pytest
from concordance_sdk import Added, mod, use
from concordance_sdk.builtin import Avoid
from concordance_sdk.testing import play
from real_tokenizers import KINDS, tokenizer_of


def insisting(said, instead, tokenizer):
    """A model that wants `said`, and `instead` where the first choice is masked."""
    first, second = tokenizer.encode(said), tokenizer.encode(instead)

    def script(completion):
        step = len(completion)
        on_track = list(completion) == first[:step]
        line = first if on_track else second
        return line[step] if step < len(line) else min(tokenizer.eos_token_ids)

    return script


def test_banned_word_is_backtracked_and_its_first_token_masked():
    played = play(use(Avoid, words=["red"]), script="a red hat", max_tokens=12)

    assert "red" not in played.text
    played.expect_events(
        "added 5 ' '", "backtracked 4, to 2", "forward_pass 2", "sampled 2 '\\x00'"
    )


def test_longer_word_with_a_banned_prefix_is_allowed():
    assert play(use(Avoid, words=["red"]), says="reduced, infrared").text == "reduced, infrared"


def test_parts_of_words_can_be_banned():
    played = play(use(Avoid, words=["red"], whole_words=False), script="reduced", max_tokens=9)

    assert "red" not in played.text


def test_phrases_of_several_words_can_be_banned():
    played = play(use(Avoid, words=["of course"]), script="Of course not", max_tokens=14)

    assert "of course" not in played.text.lower()


@pytest.mark.parametrize("kind", KINDS)
def test_banned_word_at_the_end_is_backtracked(kind):
    tokenizer = tokenizer_of(kind)
    played = play(
        use(Avoid, words=["events"]),
        script=insisting("mods see events", "mods see no", tokenizer),
        tokenizer=tokenizer,
        max_tokens=40,
    )

    assert "events" not in played.text
    assert played.num_backtracked > 0


def test_mask_is_dropped_if_the_text_before_it_changed():
    left = [1]

    @mod(on=[Added])
    def change(event, actions):
        """Once the word was taken back, changes what stood before it."""
        if left and event.step == 2 and event.added_tokens == (0,):
            left.pop()
            return actions.backtrack(3, b"B ")

    def script(completion):
        """Wants "a red", and behind a "B" something else that begins with an "r"."""
        line = b"B rat" if completion[:1] == list(b"B") else b"a red"
        return line[len(completion)] if len(completion) < 5 else 256

    played = play(use(Avoid, words=["red"], whole_words=False), change, script=script)

    assert played.text == "B rat"


def test_phrase_is_banned_in_a_stream():
    assert "red" not in play(use(Avoid, words=["red"]), script="a red hat", stream=True).text
