"""The messages and commands that the user types, or that a pipe has."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

    from concordance_inference.cli.chat.commands import CompletedWord

Complete = Callable[[str], "Iterator[CompletedWord]"]

_FENCE = '"""'


class Input(Protocol):
    """Where messages come from."""

    def read(self) -> str | None:
        """Return the next message or command; `None` at the end.

        Raises:
            KeyboardInterrupt: Ctrl-C was pressed.
        """
        ...


def is_open(text: str) -> bool:
    r"""Return true if a message continues after a line break.

    Examples:
        >>> is_open("Hello"), is_open("Hello \\"), is_open('\"\"\"a'), is_open('\"\"\"a\"\"\"')
        (False, True, True, False)
    """
    stripped = text.strip()
    if stripped.startswith(_FENCE):
        return len(stripped) < 2 * len(_FENCE) or not stripped.endswith(_FENCE)
    return text.endswith("\\")


def message_of(text: str) -> str:
    r"""Return a message without the marks of its lines.

    Examples:
        >>> message_of('\"\"\"\na\nb\n\"\"\"'), message_of('a\\\nb')
        ('a\nb', 'a\nb')
    """
    text = text.strip()
    if text.startswith(_FENCE):
        return text.removeprefix(_FENCE).removesuffix(_FENCE).strip("\n")
    return text.replace("\\\n", "\n").removesuffix("\\").strip()


class PipeInput:
    """Reads the lines of standard input, each a message unless it is open."""

    def read(self) -> str | None:
        """Return the next message or command; `None` at the end."""
        text = ""
        for line in sys.stdin:
            text += line.rstrip("\r\n")
            if not is_open(text):
                return message_of(text)
            text += "\n"
        return message_of(text) if text else None


class TerminalInput:
    """Edits messages in the terminal, with a history and with completions."""

    def __init__(self, complete: Complete, history: Path | None, **session_options: Any) -> None:
        """Create the editor.

        Args:
            complete: Completes a line.
            history: The file of earlier messages; `None` keeps them while the program runs.
            session_options: Of `PromptSession`, for tests.
        """
        from prompt_toolkit import PromptSession
        from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
        from prompt_toolkit.formatted_text import FormattedText
        from prompt_toolkit.styles import Style

        self._session: PromptSession[str] = PromptSession(
            FormattedText([("class:mark", "> ")]),
            multiline=True,
            prompt_continuation=FormattedText([("class:mark", "· ")]),
            completer=_completer(complete),
            complete_while_typing=True,
            auto_suggest=AutoSuggestFromHistory(),
            history=_history(history),
            key_bindings=_key_bindings(),
            placeholder=FormattedText([("class:placeholder", "a message, or /help")]),
            reserve_space_for_menu=6,
            style=Style.from_dict({"mark": "ansicyan bold", "placeholder": "ansibrightblack"}),
            **session_options,
        )

    def read(self) -> str | None:
        """Return the next message or command; `None` at Ctrl-D."""
        try:
            return message_of(self._session.prompt())
        except EOFError:
            return None


def _history(path: Path | None) -> Any:
    """The file of earlier messages, if it can be written."""
    from prompt_toolkit.history import FileHistory, InMemoryHistory

    if path is None:
        return InMemoryHistory()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
    except OSError:
        return InMemoryHistory()
    return FileHistory(str(path))


def _completer(complete: Complete) -> Any:
    from prompt_toolkit.completion import CompleteEvent, Completer, Completion
    from prompt_toolkit.document import Document

    class CommandCompleter(Completer):
        """Completes commands."""

        def get_completions(self, document: Document, complete_event: CompleteEvent) -> Any:
            del complete_event
            for word in complete(document.text_before_cursor):
                yield Completion(
                    word.text, start_position=-word.num_replaced, display_meta=word.meaning
                )

    return CommandCompleter()


def _key_bindings() -> "KeyBindings":
    """Enter sends unless the message is open; Alt+Enter begins a line.

    Ctrl+J is Enter: terminals send it for an Enter that is typed while no message is edited.
    """
    from prompt_toolkit.key_binding import KeyBindings

    bindings = KeyBindings()

    @bindings.add("enter")
    def _(event: "KeyPressEvent") -> None:
        buffer = event.current_buffer
        if buffer.complete_state and buffer.complete_state.current_completion:
            buffer.complete_state = None  # takes the chosen completion
        elif is_open(buffer.text):
            buffer.insert_text("\n")
        elif buffer.text.strip():
            buffer.validate_and_handle()

    @bindings.add("escape", "enter")
    def _(event: "KeyPressEvent") -> None:
        event.current_buffer.insert_text("\n")

    return bindings
