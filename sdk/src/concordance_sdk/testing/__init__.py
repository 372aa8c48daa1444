"""Unit tests of mods, without a model or a server.

from concordance_sdk.testing import play

def test_it_greets():
    assert play(greet, says=" you").text == "Greetings! you"
"""

from concordance_sdk.testing.byte_tokenizer import ByteTokenizer
from concordance_sdk.testing.channels import MessageTokenizer, message_channels, tag_channels
from concordance_sdk.testing.conformance import Check, ConformanceReport, check_conformance
from concordance_sdk.testing.folder_tokenizer import FolderTokenizer
from concordance_sdk.testing.play import play
from concordance_sdk.testing.played import Played
from concordance_sdk.testing.playing import Playing, Scene
from concordance_sdk.testing.recorded_logits import UnrecordedError
from concordance_sdk.testing.replay import ReplayedMods, replay
from concordance_sdk.testing.scripted_logits import ScriptedLogits
from concordance_sdk.testing.scripted_model import ScriptedModel

__all__ = [
    "ByteTokenizer",
    "Check",
    "ConformanceReport",
    "FolderTokenizer",
    "MessageTokenizer",
    "Played",
    "Playing",
    "ReplayedMods",
    "Scene",
    "ScriptedLogits",
    "ScriptedModel",
    "UnrecordedError",
    "check_conformance",
    "message_channels",
    "play",
    "replay",
    "tag_channels",
]
