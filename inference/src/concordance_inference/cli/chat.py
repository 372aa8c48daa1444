"""`concordance chat`."""

import importlib
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Protocol

from concordance_shared import ConcordanceError, Message
from rich.console import Console

from concordance_inference.cli.generate import check_text, note_unused_mods
from concordance_inference.cli.options import Chat
from concordance_inference.cli.output_args import ends_of, fields_of, output_of
from concordance_inference.cli.reports import reports_after
from concordance_inference.cli.start import running
from concordance_inference.generation import TextDelta, Update

with suppress(ImportError):  # not on every platform
    importlib.import_module("readline")  # gives `input` line editing and history


class _Updates(Protocol):
    """The updates of a reply; closing them cancels it."""

    def __iter__(self) -> Iterator[Update]: ...

    def close(self) -> None: ...


_ReplyTo = Callable[[Sequence[Message]], _Updates]

_HELP = "/reset starts a new conversation, /exit or Ctrl-D leaves, Ctrl-C stops a reply"


def run(options: Chat) -> None:
    """Reply to the lines that the user types, until they leave."""
    console = Console(highlight=False)
    check_text(options.system or "")
    note_unused_mods(options)
    fields_of(options)  # refuses what is wrong before a model is loaded
    system = [Message(role="system", content=options.system)] if options.system else []
    messages = list(system)
    with _remote(options) if options.url else _local(options) as (model, reply_to):
        console.print(f"[bold]{model}[/]{_with(options.mod)}\n[dim]{_HELP}[/]")
        for line in _lines(console):
            if line == "/reset":
                messages = list(system)
                continue
            prompt = [*messages, Message(role="user", content=line)]
            try:
                check_text(line)
                text = _show_reply(reply_to(prompt), console)
            except ConcordanceError as exc:
                console.print(f"[red]{exc}[/]")
            else:
                messages = [*prompt, Message(role="assistant", content=text)]


@contextmanager
def _local(options: Chat) -> Generator[tuple[str, _ReplyTo]]:
    """A model that this process loads: its id, and what replies to a conversation."""
    output = output_of(options)
    with running(options, options.mod, options.mods) as (runtime, calls):

        def reply_to(messages: Sequence[Message]) -> _Updates:
            request = runtime.request(
                messages,
                mods=calls,
                output=output,
                sampling=runtime.model.sampling.params(options.sampling),
                stream=True,
                **ends_of(options),
            )
            return runtime.submit(runtime.prepare(request))

        yield runtime.model.id, reply_to


@contextmanager
def _remote(options: Chat) -> Generator[tuple[str, _ReplyTo]]:
    """The model of a running server. Mods are uploaded for each reply, with their latest source."""
    from concordance_inference.cli.remote import check_remote, remote_updates
    from concordance_inference.cli.server_client import ServerClient

    check_remote(options)
    server = ServerClient(options.url or "")
    fields = fields_of(options)
    yield server.model(), lambda messages: remote_updates(server, options, messages, fields=fields)


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


def _show_reply(updates: _Updates, console: Console) -> str:
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
