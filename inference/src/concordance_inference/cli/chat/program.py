"""The loop of the program: read, run a command or send a message, until the user leaves."""

from concordance_shared import ConcordanceError

from concordance_inference.cli.chat.commands import run_command
from concordance_inference.cli.chat.input import Input
from concordance_inference.cli.chat.session import Session

_LEAVE = "Ctrl-D or /quit leaves"


def run_program(session: Session, messages: Input) -> None:
    """Handle what the user types, until they leave. Errors are printed, and end nothing."""
    while not session.is_over:
        try:
            line = messages.read()
            if line is None:
                return
            if line:
                handle(session, line)
        except KeyboardInterrupt:  # of no reply, which stops without this error
            if not session.screen.is_terminal:
                return
            session.screen.hint(_LEAVE)


def handle(session: Session, line: str) -> None:
    """Run a command or send a message; print an error if it fails."""
    try:
        if line.startswith("/"):
            run_command(session, line)
        else:
            session.send(line)
    except ConcordanceError as exc:
        session.screen.error(str(exc))
