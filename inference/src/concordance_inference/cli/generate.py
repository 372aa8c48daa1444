"""`concordance generate`."""

import sys
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from concordance_shared import ConcordanceError, InvalidRequestError, Message

from concordance_inference.cli.loop_note import loop_noted
from concordance_inference.cli.options import Generate, SampleArgs
from concordance_inference.cli.output_args import ends_of, fields_of, output_of
from concordance_inference.cli.reports import reports_after
from concordance_inference.cli.start import running
from concordance_inference.generation import Completed, TextDelta, TokensDelta, Update

if TYPE_CHECKING:
    from concordance_inference.trace import TokenTrace


def run(options: Generate) -> None:
    """Print the completion of one prompt as it is generated."""
    text = _standard_input() if options.prompt == "-" else options.prompt
    for given in (text, options.system or "", *options.stop):
        check_text(given)
    fields_of(options)  # refuses what is wrong before a model is loaded
    note_unused_mods(options)
    show = show_tokens if options.tokens else show_text
    source = _remote if options.url else _local
    with (
        source(options, text) as updates,
        reports_after(updates, _print_to_stderr) as reported,
        loop_noted(reported, _print_to_stderr) as followed,
    ):
        show(followed)


@contextmanager
def _local(options: Generate, text: str) -> Generator[Iterable[Update]]:
    """The updates of a model that this process loads."""
    with running(options, options.mod, options.mods) as (runtime, calls):
        request = runtime.request(
            text if options.raw else conversation(text, options.system),
            mods=calls,
            output=output_of(options),
            sampling=runtime.model.sampling.params(options.sampling),
            stop=tuple(options.stop),
            stream=not options.tokens,
            show_tokens=options.tokens,
            **ends_of(options),
        )
        yield runtime.submit(runtime.prepare(request))


@contextmanager
def _remote(options: Generate, text: str) -> Generator[Iterable[Update]]:
    """The updates of a running server."""
    from concordance_inference.cli.remote import check_remote, remote_updates
    from concordance_inference.cli.server_client import ServerClient

    check_remote(options)
    if options.raw:
        raise InvalidRequestError(
            "--raw needs a model of this process, since a server completes conversations; leave "
            "out --raw or --url"
        )
    updates = remote_updates(
        ServerClient(options.url or ""),
        options,
        conversation(text, options.system),
        fields={**fields_of(options), "stop": options.stop},
        shows_tokens=options.tokens,
    )
    with closing(updates):
        yield updates


def note_unused_mods(options: SampleArgs) -> None:
    """Print to standard error that files of mods were given, and that no mod of them runs."""
    if options.mods and not options.mod:
        given = " ".join(f"--mods {path}" for path in options.mods)
        _print_to_stderr(f"concordance: note: {given} runs no mod by itself; add --mod NAME")


def check_text(text: str) -> None:
    """Refuse text of the command line that is in another encoding.

    Raises:
        InvalidRequestError: It is not UTF-8.
    """
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise InvalidRequestError(f"the text is not UTF-8: {exc.reason} at {exc.start}") from exc


def _print_to_stderr(line: str) -> None:
    print(line, file=sys.stderr)


def _standard_input() -> str:
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as exc:
        raise InvalidRequestError(
            f"standard input is not UTF-8: {exc.reason} at byte {exc.start}"
        ) from exc


def conversation(text: str, system: str | None) -> list[Message]:
    """A user's message, after a system message if there is one."""
    messages = [Message(role="system", content=system)] if system else []
    return [*messages, Message(role="user", content=text)]


def show_text(updates: Iterable[Update]) -> None:
    """Print text as it comes, and the tool calls at its end, each on a line.

    An error, which is printed to standard error, begins on a line of its own.
    """
    line = ""
    try:
        for update in updates:
            if isinstance(update, TextDelta):
                print(update.text, end="", flush=True)
                line = update.text or line
            elif isinstance(update, Completed):
                print(_calls_after(line, update), end="")
    except ConcordanceError:
        if line and not line.endswith("\n"):
            print(flush=True)
        raise
    print()


def _calls_after(text: str, completed: Completed) -> str:
    """The tool calls of a completion, each on a line of its own, to print after `text`."""
    calls = [f"{call.function.name}({call.function.arguments})" for call in completed.tool_calls]
    separator = "\n" if calls and text and not text.endswith("\n") else ""
    return separator + "\n".join(calls)


def show_tokens(updates: Iterable[Update]) -> "TokenTrace":
    """Print a completion with forced and backtracked tokens coloured, or marked on a pipe.

    Its tool calls are printed after it, each on a line.

    Returns:
        The tokens, also the backtracked ones.
    """
    from concordance_inference.trace import TokenTrace

    trace = TokenTrace()
    ended: list[Completed] = []
    show = _show_in_colour if sys.stdout.isatty() else _show_marked
    show(trace, _token_changes(updates, ended))
    if calls := "".join(_calls_after("", completed) for completed in ended):
        print(calls)
    return trace


def _token_changes(updates: Iterable[Update], ended: list[Completed]) -> Iterator[TokensDelta]:
    """The changes of a completion; its end is added to `ended`."""
    for update in updates:
        if isinstance(update, TokensDelta):
            yield update
        elif isinstance(update, Completed):
            ended.append(update)


def _show_in_colour(trace: "TokenTrace", deltas: Iterable[TokensDelta]) -> None:
    """Print a completion as it changes."""
    from rich.console import Console  # slow to import
    from rich.live import Live

    from concordance_inference.cli.transcript import transcript
    from concordance_inference.mods.mod_output import captured_output

    printed: list[str] = []  # by mods, which would break the display
    live = Live(
        console=Console(highlight=False),
        auto_refresh=False,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    try:
        with captured_output(lambda scope, line: printed.append(f"[{scope.mod}] {line}")), live:
            for delta in deltas:
                trace.apply(delta)
                live.update(transcript(trace), refresh=True)
    finally:
        print("".join(f"{line}\n" for line in printed), end="", file=sys.stderr)


def _show_marked(trace: "TokenTrace", deltas: Iterable[TokensDelta]) -> None:
    """Print a completion at its end, also at one with an error."""
    from concordance_inference.cli.transcript import marked

    try:
        for delta in deltas:
            trace.apply(delta)
    finally:
        if text := marked(trace):
            print(text, flush=True)
