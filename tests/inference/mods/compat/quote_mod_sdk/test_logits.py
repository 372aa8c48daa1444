"""The logits of `quote_mod_sdk`."""

import numpy as np
import pytest
from concordance_inference.mods.compat.quote_mod_sdk.logits import OlderRow
from concordance_sdk.testing import play
from tiny import ask, call, make_engine, run

READ = """
import numpy as np
from max.driver import Tensor
from quote_mod_sdk import ForwardPass, mod

@mod
def no_x(event, actions, tokenizer):
    if isinstance(event, ForwardPass):
        logits = event.logits.to_numpy(){copy}
        banned = tokenizer.encode("x", add_special_tokens=False)
        logits[{index}] = -np.inf
        return actions.adjust_logits({back})
    return actions.noop()
"""


@pytest.mark.parametrize("copy", ["", ".copy()"])
@pytest.mark.parametrize(
    "index", ["banned[0]", "0, banned[0]", "banned", "..., banned", "0, banned"]
)
@pytest.mark.parametrize(
    "back", ["logits", "Tensor.from_numpy(logits)", "logits.reshape(1, -1)", "logits=logits"]
)
def test_logits_are_read_as_numpy_and_returned_in_any_form(load, copy, index, back):
    definition = load(READ.format(copy=copy, index=index, back=back))

    assert play(definition, script="axb").text == "a\0b"


def test_logits_are_returned_as_an_mlx_array(load):
    definition = load(
        """
import mlx.core as mx
from quote_mod_sdk import ForwardPass, mod

@mod
def no_x(event, actions):
    if isinstance(event, ForwardPass):
        row = mx.array(event.logits.to_numpy())
        row[0, ord("x")] = -mx.inf
        return actions.adjust_logits(row, token_temp=0.0)
"""
    )

    assert play(definition, script="axb").text == "a\0b"


def test_tensor_supports_indexing_arithmetic_and_numpy_functions(load):
    definition = load(
        """
import numpy as np
from quote_mod_sdk import ForwardPass, mod

@mod
def look(event, actions):
    if isinstance(event, ForwardPass):
        logits = event.logits
        assert logits[0, 97] == logits[97] == 1.0 and logits[0, 98] == 0.0
        assert logits.shape == (1, 257) == logits.to_numpy().shape and len(logits) == 1
        assert (logits / 2.0).max() == 0.5 and np.argmax(logits) == 97
        assert np.exp(logits - logits.to_numpy().max()).sum() > 1
        assert np.isclose(logits.logprob(97), 1 - np.log(256 + np.e))
        assert logits.logprobs([97, 98])[1] < logits.logprob(97)
        logprobs, ids = event.top_k_logprob(2)
        assert ids.tolist() == [[97, 0]] and logprobs.shape == (1, 2)
        return actions.adjust_logits(logits)
    return actions.noop()
"""
    )

    assert play(definition, script="aaa", max_tokens=3).text == "aaa"


def test_adjusting_only_the_temperature_keeps_other_mods_logits(load):
    definition = load(
        """
from quote_mod_sdk import ForwardPass, mod
from shared.types import AdjustedLogits

@mod
def cool(event, actions):
    if isinstance(event, ForwardPass):
        action = actions.adjust_logits(token_temp=0.5)
        assert isinstance(action, AdjustedLogits)
        return action
"""
    )

    assert play(definition, says="ab").text == "ab"


@pytest.mark.parametrize(
    "back", ["logits", "Tensor.from_numpy(logits)", "mx.array(logits)", "mx.array(logits)[None]"]
)
def test_logits_are_read_and_returned_in_the_engine(load, back):
    plain = run(make_engine(), ask("Hello", max_tokens=4)).ids
    definition = load(
        f"""
import mlx.core as mx
from max.driver import Tensor
from quote_mod_sdk import ForwardPass, mod

@mod
def other(event, actions, tokenizer):
    if isinstance(event, ForwardPass) and event.step == 1:
        logits = event.logits.to_numpy()
        assert logits[0, {plain[1]}] == event.logits[0, {plain[1]}] == logits.max()
        logits[0, {plain[1]}] = -1e9
        return actions.adjust_logits({back})
    return actions.noop()
"""
    )
    steered = run(make_engine(), ask("Hello", call(definition), max_tokens=4)).ids

    assert steered[0] == plain[0]
    assert steered[1] != plain[1]


def test_from_numpy_and_to_numpy_round_trip(load):
    definition = load(
        """
import numpy as np
from max.driver import Tensor
from quote_mod_sdk import ForwardPass, mod

@mod
def look(event, actions):
    if isinstance(event, ForwardPass):
        assert Tensor.from_numpy(np.zeros((1, 3))).to_numpy().shape == (1, 3)
        row = Tensor.from_numpy(np.array(event.logits.to_numpy())).to_numpy()
        row[0, ord("x")] = -np.inf
        return actions.adjust_logits(Tensor.from_numpy(row))
"""
    )

    assert play(definition, script="axb").text == "a\0b"


def row(logits):
    return np.array([logits], np.float32).view(OlderRow)


def test_an_older_row_is_a_numpy_array():
    made = row([0, 0, 0, 0])
    made[0, 1] = 2.0

    assert made.tolist() == [[0, 2, 0, 0]]
    assert made[0, 1] == made[:, 1] == made[1] == 2.0
    with pytest.raises(IndexError):
        made[1, 1]
