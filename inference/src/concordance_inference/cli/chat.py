"""`concordance chat`."""

import importlib
from collections.abc import Generator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from concordance_shared import ConcordanceError, Message
from rich.console import Console

from concordance_inference.cli.generate import check_text
from concordance_inference.cli.options import Chat
from concordance_inference.cli.reports import reports_after
from concordance_inference.cli.start import running
from concordance_inference.generation import TextDelta

if TYPE_CHECKING:
    from concordance_inference.runtime import RunningRequest

with suppress(ImportError):  # not on every platform
    importlib.import_module("readline")  # gives `input` line editing and history

_HELP = "/reset starts a new conversation, /exit or Ctrl-D leaves, Ctrl-C stops a reply"


def run(options: Chat) -> None:
    """Reply to the lines that the user types, until they leave."""
    console = Console(highlight=False)
    check_text(options.system or "")
    system = [Message(role="system", content=options.system)] if options.system else []
    messages = list(system)
    with running(options, options.mod, options.mods) as (runtime, calls):
        console.print(f"[bold]{runtime.model.id}[/]{_with(options.mod)}\n[dim]{_HELP}[/]")
        for line in _lines(console):
            if line == "/reset":
                messages = list(system)
                continue
            prompt = [*messages, Message(role="user", content=line)]
            try:
                check_text(line)
                request = runtime.request(
                    prompt,
                    mods=calls,
                    max_tokens=options.max_tokens,
                    sampling=options.sampling,
                    stream=True,
                )
                text = _show_reply(runtime.submit(runtime.prepare(request)), console)
            except ConcordanceError as exc:
                console.print(f"[red]{exc}[/]")
            else:
                messages = [*prompt, Message(role="assistant", content=text)]


def _with(mods: Sequence[str]) -> str:
    return f" with {', '.join(mods)}" if mods else ""


def _lines(console: Console) -> Generator[str]:
    """The lines that the user types, until they leave."""
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


def _show_reply(updates: "RunningRequest", console: Console) -> str:
    """Print a reply as it comes, until its end or Ctrl-C, then the reports; return the reply."""
    text = ""

    def write(line: str) -> None:
        console.print(line, style="dim", markup=False)

    with reports_after(updates, write) as followed:
        try:
            for update in followed:
                if isinstance(update, TextDelta):
                    text += update.text
                    print(update.text, end="", flush=True)
        except KeyboardInterrupt:
            updates.close()
        print()
    return text
