"""The commands of the program: a table, with the help and the completion of each."""

import shlex
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from concordance_shared import ConcordanceError, InvalidRequestError
from concordance_shared.suggestions import did_you_mean, similar_names

from concordance_inference.cli.chat.conversation import Conversation, first_words
from concordance_inference.cli.chat.conversation_file import (
    ConversationFileError,
    names_in,
    path_of,
)
from concordance_inference.cli.chat.session import Session
from concordance_inference.cli.chat.settings import changeable, shown_value, with_text

Words = Iterable[tuple[str, str]]


def _no_words(session: Session, before: str) -> Words:
    del session, before
    return ()


@dataclass(frozen=True)
class Command:
    """A command.

    Attributes:
        arguments: What follows its name, for the help.
        help: What it does, in one line.
        run: Called with the text after its name.
        words: Completions of its next argument, each with a meaning, by the text before it.
    """

    arguments: str
    help: str
    run: Callable[[Session, str], None]
    words: Callable[[Session, str], Words] = _no_words


@dataclass(frozen=True)
class CompletedWord:
    """A completion of the input."""

    text: str
    num_replaced: int  # characters before the cursor that it replaces
    meaning: str


def run_command(session: Session, line: str) -> None:
    """Run the command of a line that begins with a slash.

    Raises:
        ConcordanceError: There is no such command, or it fails.
    """
    name, _, rest = line.removeprefix("/").strip().partition(" ")
    command = COMMANDS.get(name)
    if command is None:
        hint = did_you_mean([f"/{each}" for each in similar_names(name, COMMANDS)])
        raise InvalidRequestError(f"there is no command /{name}{hint or '; /help lists all'}")
    command.run(session, rest.strip())


def completions(session: Session, text: str) -> Iterator[CompletedWord]:
    """Yield the completions of a line at its end: names of commands, and their arguments."""
    if not text.startswith("/") or "\n" in text:
        return
    name, space, rest = text[1:].partition(" ")
    if not space:
        for each, command in COMMANDS.items():
            if each.startswith(name):
                yield CompletedWord(f"/{each}", len(text), command.help)
        return
    if name not in COMMANDS:
        return
    before, _, word = rest.rpartition(" ")
    try:
        words = [*COMMANDS[name].words(session, before)]
    except (ConcordanceError, OSError):  # a server does not respond
        return
    for each, meaning in words:
        if each.startswith(word):
            yield CompletedWord(each, len(word), meaning)


def _help(session: Session, name: str) -> None:
    name = name.removeprefix("/")
    if name and name not in COMMANDS:
        hint = did_you_mean(similar_names(name, COMMANDS))
        raise InvalidRequestError(f"/help: there is no command /{name}{hint}")
    listed = [name] if name else [*COMMANDS]
    commands = [(each, COMMANDS[each]) for each in listed]
    session.screen.rows(
        (f"/{name} {each.arguments}".rstrip(), each.help) for name, each in commands
    )
    if not name:
        session.screen.print(_KEYS)


_KEYS = """
Enter sends a message. Alt+Enter begins a new line, and so does Enter after \\.
A message between \"\"\" has several lines. Tab completes, Ctrl-R searches.
Ctrl-C stops a reply, Ctrl-D leaves."""


def _command_names(session: Session, before: str) -> Words:
    del session
    return () if before else ((name, each.help) for name, each in COMMANDS.items())


def _set(session: Session, rest: str) -> None:
    name, _, text = rest.partition(" ")
    options = session.options
    if not name:
        rows = [(each, shown_value(options, each)) for each in changeable()]
        width = max(len(value) for _, value in rows)
        help_of = {
            each: (setting.option.help or "").partition(" [default")[0]
            for each, setting in changeable().items()
        }
        session.screen.rows((each, f"{value:{width}}  {help_of[each]}") for each, value in rows)
        return
    if text:
        changed = with_text(options, name, text.strip())
        session.options = changed
    name = name.replace("-", "_")
    if name not in changeable():
        with_text(options, name, "default")  # raises
    session.screen.print(f"{name} = {shown_value(session.options, name)}")


def _setting_words(session: Session, before: str) -> Words:
    if not before:
        return ((name, shown_value(session.options, name)) for name in changeable())
    setting = changeable().get(before.strip().replace("-", "_"))
    if setting is None:
        return ()
    values = ("on", "off") if setting.item is bool else getattr(setting.item, "__args__", ())
    return ((str(value), "") for value in (*values, "default"))


def _list(session: Session, rest: str) -> None:
    _nothing("list", rest)
    names = names_in(session.folder)
    if not names:
        session.screen.print(f"no conversations in {session.folder}; /save saves this one")
    for name in names:
        try:
            loaded = Conversation.load(path_of(session.folder, name))
            words = first_words(loaded.entries)
            session.screen.rows([(name, f"{loaded.num_messages} messages: {words}")])
        except ConversationFileError as exc:
            session.screen.rows([(name, str(exc))])


def _model(session: Session, name: str) -> None:
    if not name:
        session.screen.print(session.model.id)
        return
    session.model.switch(name)
    session.screen.hint(f"the conversation continues with {session.model.id}")


def _model_words(session: Session, before: str) -> Words:
    return () if before else ((name, "") for name in session.model.model_names())


def _mods(session: Session, rest: str) -> None:
    if rest == "none":
        session.set_mods([])
    elif rest:
        try:
            session.set_mods(shlex.split(rest))
        except ValueError as exc:
            raise InvalidRequestError(f"/mods: {exc}; quote a mod that has spaces") from exc
    else:
        used = {mod.partition(":")[0] for mod in session.options.mod}
        mods = session.model.mods()
        marks = {mod.name: "*" if mod.name in used else " " for mod in mods}
        session.screen.rows((f"{marks[mod.name]} {mod.name}", mod.description) for mod in mods)
    session.screen.print(f"mods: {', '.join(session.options.mod) or 'none'}")


def _mod_words(session: Session, before: str) -> Words:
    none = () if before else (("none", "Use no mods"),)
    return (*none, *((mod.name, mod.description) for mod in session.model.mods()))


def _save(session: Session, name: str) -> None:
    session.screen.print(f"saved as {session.save(name)}")


def _load(session: Session, name: str) -> None:
    if not name:
        raise InvalidRequestError("/load: write /load NAME; /list shows the names")
    session.load(name)


def _conversation_words(session: Session, before: str) -> Words:
    return () if before else ((name, "") for name in names_in(session.folder))


def _resume(session: Session, name: str) -> None:
    if name:
        session.load(name)
    if not name or session.conversation.is_cut:
        session.resume()


def _retry(session: Session, rest: str) -> None:
    _nothing("retry", rest)
    session.retry()


def _undo(session: Session, rest: str) -> None:
    _nothing("undo", rest)
    session.unanswered = None
    text = session.conversation.undo()
    if text is None:
        raise InvalidRequestError("/undo: no message was sent yet")
    session.screen.print(f"removed: {' '.join(text.split())}")


def _system(session: Session, text: str) -> None:
    conversation = session.conversation
    if text:
        conversation.system = None if text == "none" else text
    session.screen.print(f"system message: {conversation.system or 'none'}")


def _profile(session: Session, name: str) -> None:
    if not name:
        names = ", ".join(session.profiles.profiles) or "none"
        session.screen.print(f"profile: {session.options.profile or 'none'}; there are: {names}")
        return
    session.use_profile(name)
    session.screen.hint("it holds for the following replies; /reset begins with its prompt")


def _profile_words(session: Session, before: str) -> Words:
    return () if before else ((name, "") for name in session.profiles.profiles)


def _prompt(session: Session, name: str) -> None:
    if name:
        session.use_prompt(name)
        _system(session, "")
        return
    names = ", ".join(session.profiles.prompts) or "none"
    session.screen.print(f"prompt: {session.options.prompt or 'none'}; there are: {names}")


def _prompt_words(session: Session, before: str) -> Words:
    return () if before else ((name, p.system) for name, p in session.profiles.prompts.items())


def _reset(session: Session, rest: str) -> None:
    _nothing("reset", rest)
    session.begin()
    session.screen.hint("a new conversation")


def _quit(session: Session, rest: str) -> None:
    del rest
    session.is_over = True


def _nothing(name: str, rest: str) -> None:
    if rest:
        raise InvalidRequestError(f"/{name} takes no argument; got {rest!r}")


COMMANDS: dict[str, Command] = {
    "help": Command("[COMMAND]", "List the commands and keys", _help, _command_names),
    "set": Command("[NAME [VALUE]]", "Show or change a setting", _set, _setting_words),
    "model": Command("[NAME]", "Show the model, or continue with another", _model, _model_words),
    "mods": Command("[MOD ... | none]", "List mods, or choose those that run", _mods, _mod_words),
    "system": Command("[TEXT | none]", "Show or change the system message", _system),
    "prompt": Command("[NAME]", "Use a prompt of the profiles' file", _prompt, _prompt_words),
    "profile": Command("[NAME]", "Use a profile", _profile, _profile_words),
    "resume": Command(
        "[NAME]",
        "Continue a reply that was cut, or a saved conversation",
        _resume,
        _conversation_words,
    ),
    "retry": Command("", "Generate the last reply again", _retry),
    "undo": Command("", "Remove the last message and its reply", _undo),
    "list": Command("", "List the saved conversations", _list),
    "save": Command("[NAME]", "Save the conversation, now and after every reply", _save),
    "load": Command("NAME", "Continue a saved conversation", _load, _conversation_words),
    "reset": Command("", "Start a new conversation", _reset),
    "quit": Command("", "Leave", _quit),
    "exit": Command("", "Leave", _quit),
}
