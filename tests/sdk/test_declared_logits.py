"""A mod that declares what it reads of logits is held to it."""

import numpy as np
import pytest
from concordance_sdk import Added, ForwardPass, ModDefinitionError, UndeclaredLogitsError, mod
from concordance_sdk.host import definition_of
from concordance_sdk.testing import play

READS = {
    "one": lambda logits: logits[3],
    "top_1": lambda logits: logits.top_k(1),
    "top_2": lambda logits: logits.top_k(2),
    "top_3": lambda logits: logits.top_k(3),
    "margin_2": lambda logits: logits.margin(),
    "margin_3": lambda logits: logits.margin(3),
    "logprob": lambda logits: logits.logprob(3),
    "logprobs": lambda logits: logits.logprobs([3, 4]),
    "entropy": lambda logits: logits.entropy(),
    "numpy": lambda logits: logits.to_numpy(),
    "array": np.asarray,
    "length": len,
}
ALLOWED = {
    "none": {"length"},
    2: {"length", "top_1", "top_2", "margin_2"},
    "full": set(READS),
    None: set(READS),
}


def reader(need, read):
    @mod(name="reader", on=[ForwardPass], logits=need)
    def reads(event, actions):
        READS[read](event.logits)

    return reads


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("need", ALLOWED)
def test_only_declared_logits_can_be_read(need, read):
    if read in ALLOWED[need]:
        assert play(reader(need, read), script="a").text == "a"
    else:
        with pytest.raises(UndeclaredLogitsError):
            play(reader(need, read), script="a")


def test_reading_undeclared_logits_names_the_mod_the_step_and_what_to_declare():
    with pytest.raises(UndeclaredLogitsError) as caught:
        play(reader(2, "top_3"), script="a")

    for words in ("'reader'", ".top_k(3)", "step 0", "logits=2", "@mod(logits=3)"):
        assert words in caught.value.message
    assert (caught.value.mod, caught.value.event, caught.value.step) == ("reader", "ForwardPass", 0)


def test_mod_that_declares_none_can_adjust_logits():
    @mod(on=[ForwardPass], logits="none")
    def no_a(event, actions):
        return actions.adjust_logits(ban=b"a")

    assert play(no_a, script="a", max_tokens=1).text == "\0"


def test_definition_has_the_declared_logits():
    assert definition_of(reader(5, "length")).logits == 5
    assert definition_of(reader(None, "length")).logits is None


@pytest.mark.parametrize("need", [0, -1, True, 1.5, "all", "top"])
def test_invalid_logits_declaration_is_rejected(need):
    with pytest.raises(ModDefinitionError, match='logits is "none", "full" or the number'):
        reader(need, "length")


def test_logits_declaration_without_forward_pass_is_rejected():
    with pytest.raises(ModDefinitionError, match="without handling ForwardPass"):
        mod(on=[Added], logits=3)(lambda event, actions: None)
