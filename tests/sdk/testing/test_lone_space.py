"""`text_before_lone_space` finds forced text after which the model continues from a space."""

import pytest
from concordance_sdk import Added, builtin, mod, use
from concordance_sdk.constraints import ChoicesStrat
from concordance_sdk.self_prompt import self_prompt_mod
from concordance_sdk.testing import Scene
from concordance_sdk.testing.lone_space import text_before_lone_space
from real_tokenizers import tokenizer_of


def scene(script="you there", **options):
    return Scene(script=script, resumes=True, **options)


@pytest.mark.parametrize(
    ("text", "found"), [("Hello ", "Hello "), ("Hello", None), ("Hello\n", None), (" ", " ")]
)
def test_text_that_ends_in_a_space_is_found(text, found):
    assert text_before_lone_space(use(builtin.InjectAtStart, text=text), scene()) == found


def test_text_forced_later_is_found():
    used = use(builtin.InjectAfterTokens, text=" Hm, ", count=3)

    assert text_before_lone_space(used, scene()) == " Hm, "


def test_text_before_a_constraint_does_not_count():
    asks = self_prompt_mod(prompt="Mood: ", constraint=ChoicesStrat(["good", "bad"]))

    assert text_before_lone_space(use(asks), scene()) is None
    assert text_before_lone_space(use(asks), scene("god")) is None  # its first token is allowed


def test_text_that_the_completion_ends_with_counts():
    used = use(builtin.InjectAtStart, text="Hello ")

    assert text_before_lone_space(used, scene("")) == "Hello "


def test_last_token_counts_on_a_real_vocabulary():
    tokenizer = tokenizer_of("byte_level")
    spaces = tokenizer.encode("Hello  ")[-1:]
    used = use(builtin.InjectAtStart, text="Hello ")

    assert tokenizer.decode(spaces) == "  "  # one token, which a text has before an indented word
    assert text_before_lone_space(used, scene(tokenizer=tokenizer)) == "Hello "
    doubled = use(builtin.InjectAtStart, text="Hello  ")
    assert text_before_lone_space(doubled, scene(tokenizer=tokenizer)) is None


def test_script_of_positions_and_failing_mods_are_left_out():
    @mod(on=[Added])
    def broken(event, actions):
        raise ValueError("no")

    used = use(builtin.InjectAtStart, text="Hello ")

    assert text_before_lone_space(use(broken), scene()) is None
    assert text_before_lone_space(used, Scene(script="you", resumes=False)) is None
