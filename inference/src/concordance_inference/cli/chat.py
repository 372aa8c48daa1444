"""`concordance chat`."""

import importlib
from collections.abc import Generator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from concordance_shared import ConcordanceError, Message
from rich.console import Console

from concordance_inference.cli.generate import check_text
from concordance_inference.cli.start import running
from concordance_inference.generation import SamplingParams, TextDelta
from concordance_inference.models.options import ModelOptions

if TYPE_CHECKING:
    from concordance_inference.runtime import RunningRequest

with suppress(ImportError):  # not on every platform
    importlib.import_module("readline")  # gives `input` line editing and history

_HELP = "/reset begins anew, /exit or Ctrl-D leaves, Ctrl-C stops an answer"


def run(
    model: str | None,
    mods: Sequence[str],
    mod_paths: Sequence[Path],
    *,
    options: ModelOptions,
    system: str | None,
    max_tokens: int,
    sampling: SamplingParams,
) -> None:
    """Talk with the model until told to leave."""
    console = Console(highlight=False)
    check_text(system or "")
    beginning = [Message(role="system", content=system)] if system else []
    messages = list(beginning)
    with running(model, mods, mod_paths, options=options) as (runtime, calls):
        console.print(f"[bold]{runtime.engine.model.id}[/]{_with(mods)}\n[dim]{_HELP}[/]")
        for line in _lines(console):
            if line == "/reset":
                messages = list(beginning)
                continue
            asked = [*messages, Message(role="user", content=line)]
            try:
                check_text(line)
                request = runtime.request(
                    asked, mods=calls, max_tokens=max_tokens, sampling=sampling, stream=True
                )
                text = _show_answer(runtime.submit(runtime.prepare(request)))
            except ConcordanceError as exc:
                console.print(f"[red]{exc}[/]")
            else:
                messages = [*asked, Message(role="assistant", content=text)]


def _with(mods: Sequence[str]) -> str:
    return f" with {', '.join(mods)}" if mods else ""


def _lines(console: Console) -> Generator[str]:
    """What is typed, line by line, until the user leaves."""
    while True:
        try:
            line = console.input("[bold cyan]>[/] ").strip()
        except (EOFError, KeyboardInterrupt):
            console.print()
            return
        if line == "/exit":
            return
        if line.startswith("/") and line != "/reset":
            console.print(_HELP, style="dim")
        elif line:
            yield line


def _show_answer(updates: "RunningRequest") -> str:
    """Print an answer as it comes, until its end or Ctrl-C; return what was printed."""
    text = ""
    try:
        for update in updates:
            if isinstance(update, TextDelta):
                text += update.text
                print(update.text, end="", flush=True)
    except KeyboardInterrupt:
        updates.close()
    print()
    return text
