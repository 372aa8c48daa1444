"""`concordance generate`."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from concordance_shared import InvalidRequestError, Message

from concordance_inference.cli.start import running
from concordance_inference.generation import (
    Completed,
    SamplingParams,
    TextDelta,
    TokensDelta,
    Update,
)
from concordance_inference.models.options import ModelOptions


def run(
    prompt: str,
    model: str | None,
    mods: Sequence[str],
    mod_paths: Sequence[Path],
    *,
    options: ModelOptions,
    system: str | None,
    max_tokens: int,
    sampling: SamplingParams,
    stop: Sequence[str],
    raw: bool,
    show_tokens: bool,
) -> None:
    """Answer one question on standard output, as it is made."""
    text = _standard_input() if prompt == "-" else prompt
    for given in (text, system or "", *stop):
        check_text(given)
    with running(model, mods, mod_paths, options=options) as (runtime, calls):
        request = runtime.request(
            text if raw else conversation(text, system),
            mods=calls,
            max_tokens=max_tokens,
            sampling=sampling,
            stop=tuple(stop),
            stream=not show_tokens,
            show_tokens=show_tokens,
        )
        show = _show_tokens if show_tokens else show_text
        show(runtime.submit(runtime.prepare(request)))


def check_text(text: str) -> None:
    """A text of the command line, which may have come in another encoding.

    Raises:
        InvalidRequestError: It is not UTF-8.
    """
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise InvalidRequestError(f"the text is not UTF-8: {exc.reason} at {exc.start}") from exc


def _standard_input() -> str:
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as exc:
        raise InvalidRequestError(
            f"standard input is not UTF-8: {exc.reason} at byte {exc.start}"
        ) from exc


def conversation(text: str, system: str | None) -> list[Message]:
    """A user's question, behind a system message if there is one."""
    messages = [Message(role="system", content=system)] if system else []
    return [*messages, Message(role="user", content=text)]


def show_text(updates: Iterable[Update]) -> None:
    """Print an answer as it comes, and the calls of tools that it ends with, each on a line."""
    line = ""
    for update in updates:
        if isinstance(update, TextDelta):
            print(update.text, end="", flush=True)
            line = update.text or line
        elif isinstance(update, Completed) and update.tool_calls:
            separator = "\n" if line and not line.endswith("\n") else ""
            calls = [
                f"{call.function.name}({call.function.arguments})" for call in update.tool_calls
            ]
            print(f"{separator}{chr(10).join(calls)}", end="")
    print()


def _show_tokens(updates: Iterable[Update]) -> None:
    """Print an answer with what mods forced and took back in colours."""
    from rich.console import Console  # slow to import
    from rich.live import Live

    from concordance_inference.cli.transcript import transcript
    from concordance_inference.trace import TokenTrace

    trace = TokenTrace()
    with Live(console=Console(highlight=False), auto_refresh=False) as live:
        for update in updates:
            if isinstance(update, TokensDelta):
                trace.apply(update)
                live.update(transcript(trace), refresh=True)
