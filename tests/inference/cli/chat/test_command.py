"""What starting the chat costs, and what is refused before a model is loaded."""

import subprocess
import sys

import pytest
from concordance_inference.cli.chat import command
from concordance_inference.cli.options import Chat
from concordance_shared import ConcordanceError

UNNEEDED = {"rich", "prompt_toolkit", "markdown_it", "openai_harmony", "pydantic"}


@pytest.mark.process
def test_chat_on_a_pipe_imports_no_editor_and_no_renderer(tmp_path):
    code = (
        "import sys\n"
        f"sys.path.insert(0, {str(__file__).partition('inference')[0]!r})\n"
        "from pathlib import Path\n"
        "from concordance_inference.cli.chat import local_model\n"
        "from concordance_inference.cli.chat.command import open_program\n"
        "from concordance_inference.cli.options import Chat\n"
        "from scripted_chat import ScriptedModel\n"
        f"open_program(ScriptedModel('Hello'), Chat(conversations=Path({str(tmp_path)!r})))\n"
        f"print(sorted({UNNEEDED!r} & sys.modules.keys()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input="Hi\n", capture_output=True, text=True, check=False
    )

    assert done.stdout == "Hello\n[]\n", done.stderr


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"profile": "nosuch"}, "--profile nosuch"),
        ({"prompt": "nosuch"}, "--prompt nosuch"),
        ({"load": "nosuch"}, "no conversation"),
        ({"min_tokens": 9, "max_tokens": 3}, "--min-tokens 9"),
    ],
)
def test_wrong_option_is_refused_before_a_model_is_loaded(tmp_path, monkeypatch, options, word):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr(command, "_model", None)  # is not called

    with pytest.raises(ConcordanceError, match=word):
        command.run(Chat(conversations=tmp_path, **options))
