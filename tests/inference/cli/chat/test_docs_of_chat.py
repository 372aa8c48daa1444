"""The page on the chat has every command, setting and option."""

import re
from dataclasses import fields
from pathlib import Path

import msgspec
from concordance_inference.cli.chat.commands import COMMANDS
from concordance_inference.cli.chat.conversation_file import SavedConversation
from concordance_inference.cli.chat.placeholders import BUILT_IN
from concordance_inference.cli.chat.profiles import read_profiles
from concordance_inference.cli.chat.settings import changeable
from concordance_inference.cli.options import Chat, OutputArgs

PAGE = (Path(__file__).parents[4] / "docs" / "chat.md").read_text("utf-8")


def block(language):
    """The first code block of a language."""
    return re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)[1]


def test_page_has_every_command():
    for name, command in COMMANDS.items():
        arguments = command.arguments.replace("|", "\\|")
        assert f"`/{name} {arguments}".rstrip() in PAGE


def test_page_has_every_setting_and_option():
    own = {each.name for each in fields(Chat)} - {each.name for each in fields(OutputArgs)}
    for name in changeable():
        assert f"`{name}`" in PAGE
    for name in own - {*changeable()}:
        assert f"--{name}" in PAGE or f"--no-{name}" in PAGE


def test_page_has_every_placeholder():
    for name in BUILT_IN:
        assert f"`{{{name}}}`" in PAGE


def test_example_of_a_conversation_is_one():
    assert msgspec.json.decode(block("json"), type=SavedConversation).entries[0].system


def test_example_of_profiles_is_one(tmp_path):
    (tmp_path / "chat.toml").write_text(block("toml"))

    assert read_profiles(tmp_path / "chat.toml").default == "careful"
