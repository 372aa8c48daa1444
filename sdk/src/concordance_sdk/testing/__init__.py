"""Unit tests of mods, without a model and without a server.

from concordance_sdk.testing import play

def test_it_greets():
    assert play(greet, script="hello").text == "Greetings! hello"
"""

from concordance_sdk.testing.byte_tokenizer import ByteTokenizer
from concordance_sdk.testing.play import Played, play
from concordance_sdk.testing.scripted_logits import ScriptedLogits
from concordance_sdk.testing.scripted_model import ScriptedModel

__all__ = ["ByteTokenizer", "Played", "ScriptedLogits", "ScriptedModel", "play"]
