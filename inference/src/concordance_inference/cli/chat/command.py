"""`concordance chat`: puts the parts together, for the options of the command line."""

import sys
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from concordance_inference.cli.chat.commands import completions
from concordance_inference.cli.chat.conversation_file import (
    ConversationFileError,
    SettingsEntry,
    data_folder,
    default_folder,
    path_of,
    read,
)
from concordance_inference.cli.chat.input import Input, PipeInput, TerminalInput
from concordance_inference.cli.chat.keyboard import without_echo
from concordance_inference.cli.chat.profiles import Profiles, read_profiles
from concordance_inference.cli.chat.program import run_program
from concordance_inference.cli.chat.reply import ChatModel
from concordance_inference.cli.chat.session import Session
from concordance_inference.cli.generate import check_text, note_unused_mods
from concordance_inference.cli.options import Chat
from concordance_inference.cli.output_args import fields_of


def run(options: Chat) -> None:
    """Reply to what the user types, until they leave.

    Raises:
        ConcordanceError: An option is wrong, or the model cannot be loaded.
    """
    check_text(options.system or "")
    profiles = read_profiles(options.profiles)
    if name := options.profile or profiles.default:
        options = replace(profiles.applied(name, options), profile=name)
    if options.prompt is not None:
        profiles.prompt(options.prompt)  # refuses what is wrong before a model is loaded
    note_unused_mods(options)
    fields_of(options)
    with _model(_with_model_of_file(options)) as model:
        open_program(model, options, profiles)


def open_program(model: ChatModel, options: Chat, profiles: Profiles | None = None) -> None:
    """Run the program with a model. On a pipe, exit with status 1 if a message failed."""
    session = Session(model, options, profiles=profiles or Profiles())
    _begin(session)
    run_program(session, _input(session))
    if session.screen.has_failed and not session.screen.is_terminal:
        sys.exit(1)


def _begin(session: Session) -> None:
    options = session.options
    mods = f" with {', '.join(options.mod)}" if options.mod else ""
    session.screen.title(f"{session.model.id}{mods}")
    session.begin()
    if options.load is not None:
        session.load(options.load)
    session.screen.hint("/help lists the commands, Ctrl-C stops a reply, Ctrl-D leaves")


def _with_model_of_file(options: Chat) -> Chat:
    """The options with the model of the conversation that is loaded, unless they name one."""
    if options.load is None or options.model is not None or options.url is not None:
        return options
    entries = read(path_of(options.conversations or default_folder(), options.load)).entries
    recorded = [each for each in entries if isinstance(each, SettingsEntry)]
    return replace(options, model=recorded[-1].source) if recorded else options


@contextmanager
def _model(options: Chat) -> Generator[ChatModel]:
    """The model: of a server, or loaded by this process."""
    if options.url:
        from concordance_inference.cli.chat.server_model import ServerModel
        from concordance_inference.cli.remote import check_remote

        check_remote(options)
        model = ServerModel(options.url)
        if options.mod:
            model.check_mods(options)
        yield model
        return
    from concordance_inference.cli.chat.local_model import LocalModel

    with ExitStack() as stack:
        with without_echo():
            model = stack.enter_context(LocalModel(options))
        yield model


def _input(session: Session) -> Input:
    if not (sys.stdin.isatty() and session.screen.is_terminal):
        return PipeInput()
    history = _history() if session.options.history else None
    return TerminalInput(lambda text: completions(session, text), history)


def _history() -> Path | None:
    """The file of earlier messages; `None` without a home folder."""
    try:
        return data_folder() / "chat_history"
    except ConversationFileError:
        return None
