"""`concordance mods watch`: runs a mod again on every save of its file."""

import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace

from concordance_sdk.composition import ModUse
from concordance_sdk.host import ModDefinition
from concordance_sdk.testing import play
from concordance_shared import ConcordanceError, InvalidRequestError, ModLoadError

from concordance_inference.cli.edit_log import EditLog
from concordance_inference.cli.generate import check_text, conversation, show_tokens
from concordance_inference.cli.mod_traceback import mod_traceback
from concordance_inference.cli.options import WatchMod
from concordance_inference.cli.played_updates import played_updates
from concordance_inference.cli.reports import reports_after
from concordance_inference.cli.start import parse_mod, running
from concordance_inference.cli.watching import changes
from concordance_inference.generation import Completed, ModCall, TokensDelta, Update
from concordance_inference.mods.catalog import ModCatalog
from concordance_inference.mods.loading import load_path

#: What is asked without a prompt, where a text of the model is played.
_QUESTION = "Hello"


class Attempt:
    """One run of the mods as their files are now: its updates, and its log."""

    def __init__(self, updates: Iterable[Update], log: Sequence[str] | None = None) -> None:
        """Take the updates of a request.

        Args:
            updates: The updates.
            log: The log of events, if it is known; by default one of the edits is made.
        """
        self._updates = updates
        self._log = log
        self._edits = EditLog()
        self.end: Completed | None = None

    @property
    def log(self) -> Sequence[str]:
        """The events or edits so far."""
        return self._edits.lines if self._log is None else self._log

    def __iter__(self) -> Iterator[Update]:
        for update in self._updates:
            if isinstance(update, TokensDelta):
                self._edits.apply(update)
            elif isinstance(update, Completed):
                self.end = update
            yield update


_Start = Callable[[], AbstractContextManager[Attempt]]


def run(options: WatchMod) -> None:
    """Run the mods, and again on every change of their files, until Ctrl-C.

    Raises:
        InvalidRequestError: The options do not fit together.
        ModLoadError: There is no such file.
        ConcordanceError: The model cannot be loaded, or there is no such server.
    """
    _check(options)
    kind = _playing if _plays(options) else _remote if options.url else _local
    try:
        with kind(options) as start:
            for _ in changes(options.file):
                _show(options, start)
    except KeyboardInterrupt:
        print(flush=True)


def _plays(options: WatchMod) -> bool:
    return options.says is not None or options.script is not None


def _check(options: WatchMod) -> None:
    given = (options.prompt, options.system, options.says, options.script)
    for text in given:
        check_text(text or "")
    if not options.file.exists():
        raise ModLoadError(f"there is no file or folder of mods at {options.file}")
    if options.says is not None and options.script is not None:
        raise InvalidRequestError(
            "--says and --script both give the model's text; give one of them"
        )
    if _plays(options) and options.url:
        raise InvalidRequestError("--url uses a model; leave out --says and --script, or --url")
    if not _plays(options) and options.prompt is None:
        raise InvalidRequestError(
            "give a prompt for a model, or the model's text with --says, which needs no model"
        )


def _show(options: WatchMod, start: _Start) -> None:
    """Run the mods once, and print the tokens, the log and the end, or the error."""
    _print(f"--- {options.file} {time.strftime('%H:%M:%S')} ---", "bold")
    started = time.monotonic()
    attempt, reports = None, list[str]()
    try:
        with start() as attempt, reports_after(attempt, reports.append) as updates:
            show_tokens(updates)
    except (ConcordanceError, OSError) as exc:  # a file may be gone while it is read
        _print_log(attempt, reports)
        trace = mod_traceback(exc)
        lines = [*([trace] if trace else []), f"error: {exc}", *getattr(exc, "__notes__", ())]
        _print("\n".join(lines), "red")
        return
    _print_log(attempt, reports)
    if end := attempt.end:
        about = f"{end.forced_tokens} forced, {end.backtracked_tokens} backtracked"
        seconds = time.monotonic() - started
        tokens = f"{end.completion_tokens} tokens ({about})"
        _print(f"{end.finish_reason}: {tokens}, {seconds:.2f} s", "bold")


def _print_log(attempt: Attempt | None, reports: Sequence[str]) -> None:
    for line in [*(attempt.log if attempt else ()), *reports]:
        _print(f"  {line}", "dim")


def _print(text: str, style: str) -> None:
    """Print a text, in a style if it goes to a terminal."""
    if not sys.stdout.isatty():
        print(text, flush=True)
        return
    from rich.console import Console  # slow to import

    Console(highlight=False).print(text, style=style, markup=False)


def _named(options: WatchMod) -> list[str]:
    """The mods to run, as texts of `--mod`: those that are named, or the only one of the file.

    Raises:
        ModLoadError: The file cannot be loaded, or defines several.
    """
    if options.mod:
        return options.mod
    names = [definition.name for definition in load_path(options.file)[0]]
    if len(names) > 1:
        raise ModLoadError(f"{options.file} defines {', '.join(names)}; choose with --mod")
    return names


def _calls(options: WatchMod) -> tuple[ModCall, ...]:
    """The mods to run, loaded again."""
    catalog = ModCatalog([options.file, *options.mods])
    return catalog.resolve([parse_mod(mod) for mod in _named(options)], strict=False)


def _definition(call: ModCall) -> ModDefinition:
    assert isinstance(call.definition, ModDefinition), "not an upload"
    return call.definition


@contextmanager
def _playing(options: WatchMod) -> Generator[_Start]:
    """Play a text of the model, without one."""

    @contextmanager
    def start() -> Generator[Attempt]:
        prompt = options.prompt if options.prompt is not None else _QUESTION
        played = play(
            *(ModUse(_definition(call), call.parameters) for call in _calls(options)),
            says=options.says,
            script=options.script,
            prompt=prompt,
            messages=conversation(prompt, options.system),
            max_tokens=options.max_tokens,
        )
        yield Attempt(played_updates(played), played.log)

    yield start


@contextmanager
def _local(options: WatchMod) -> Generator[_Start]:
    """Run a model that is loaded once."""
    with running(options) as (runtime, _):

        @contextmanager
        def start() -> Generator[Attempt]:
            request = runtime.request(
                conversation(options.prompt or "", options.system),
                mods=_calls(options),
                max_tokens=options.max_tokens,
                sampling=runtime.model.sampling.params(options.sampling),
                show_tokens=True,
            )
            updates = runtime.submit(runtime.prepare(request))
            with closing(updates):
                yield Attempt(updates)

        yield start


@contextmanager
def _remote(options: WatchMod) -> Generator[_Start]:
    """Use a running server."""
    from concordance_inference.cli.remote import check_remote, remote_updates
    from concordance_inference.cli.server_client import ServerClient

    check_remote(options)
    server = ServerClient(options.url or "")
    server.model()

    @contextmanager
    def start() -> Generator[Attempt]:
        named = replace(options, mod=_named(options), mods=[options.file, *options.mods])
        messages = conversation(options.prompt or "", options.system)
        updates = remote_updates(server, named, messages, shows_tokens=True)
        with closing(updates):
            yield Attempt(updates)

    yield start
