"""The tools that the server runs: those that the operator registered, with their limits."""

import asyncio
import importlib.metadata
import logging
import re
import runpy
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, InvalidStateError
from contextlib import suppress
from pathlib import Path
from typing import Any

from concordance_sdk.hosted_tool import HostedCall, HostedTool
from concordance_shared import InvalidRequestError, ModLoadError
from msgspec import Struct

logger = logging.getLogger(__name__)

ENTRY_POINT_GROUP = "concordance.tools"

#: The names whose instructions gpt-oss knows.
TRAINED = ("python", "browser")

#: The functions of `browser`, unless the tool says others.
_BROWSER = ("search", "open", "find")

#: Calls that run at the same time; others wait, within their time limit.
_MAX_RUNNING = 8

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class HostedLimits(Struct, frozen=True, kw_only=True):
    """Limits of the tools that the server runs.

    Attributes:
        calls: Calls of one request; the model is asked to answer without more afterwards.
        seconds: Of one call.
        characters: Of a result, which is cut there.
    """

    calls: int = 8
    seconds: float = 30.0
    characters: int = 20_000


class HostedResult(Struct, frozen=True, kw_only=True):
    """The result of a call, and how long it took."""

    text: str
    is_error: bool = False
    seconds: float = 0.0


class HostedTools:
    """The registered tools by name. Thread-safe."""

    def __init__(
        self, tools: Iterable[HostedTool] = (), limits: HostedLimits | None = None
    ) -> None:
        """Register tools.

        Args:
            tools: The tools.
            limits: Their limits.

        Raises:
            ModLoadError: One has no name, or two have the same one, or one has no instructions.
        """
        self.limits = limits or HostedLimits()
        self._tools: dict[str, HostedTool] = {}
        for tool in tools:
            self._add(tool)
        self._running = threading.BoundedSemaphore(_MAX_RUNNING)
        self._calls: dict[str, RunningCall] = {}  # the last one of each request that runs

    def _add(self, tool: HostedTool) -> None:
        kind = type(tool).__qualname__
        if not _NAME.fullmatch(tool.name) or tool.name == "functions":
            raise ModLoadError(
                f"hosted tool {kind}: {tool.name!r:.80} is not a name of a tool; set `name` to 1 "
                "to 64 letters, digits, '_' and '-', but not to 'functions'"
            )
        if tool.name in self._tools:
            other = type(self._tools[tool.name]).__qualname__
            raise ModLoadError(
                f"hosted tool {kind}: {other} has the name {tool.name!r} too; register only one"
            )
        if tool.instructions is None and tool.name not in TRAINED:
            raise ModLoadError(
                f"hosted tool {kind}: it has no instructions, which only {' and '.join(TRAINED)} "
                "may leave out; set `instructions` to a text that says what to send"
            )
        self._tools[tool.name] = tool

    def __bool__(self) -> bool:
        return bool(self._tools)

    def chosen(self, names: Sequence[str] | None) -> tuple[HostedTool, ...]:
        """Return the tools of a request.

        Args:
            names: Those that it chooses; `None` for all.

        Raises:
            InvalidRequestError: One is not registered.
        """
        for i, name in enumerate(names or ()):
            if name not in self._tools:
                known = ", ".join(self._tools) or "none; `serve --tools FILE` registers some"
                raise InvalidRequestError(
                    f"hosted_tools[{i}]: there is no hosted tool {name!r:.80}; there are: {known}",
                    param=f"hosted_tools[{i}]",
                )
        return tuple(tool for name, tool in self._tools.items() if names is None or name in names)

    def start(self, tool: HostedTool, call: HostedCall) -> "RunningCall":
        """Start a call on a thread of its own, which does not keep the process from exiting."""
        future: Future[str] = Future()
        thread = threading.Thread(
            target=self._run, args=(tool, call, future), name="hosted-tool", daemon=True
        )
        running = RunningCall(tool, call, future, self.limits)
        self._calls[call.request_id] = running
        thread.start()
        return running

    def end(self, running: "RunningCall") -> bool:
        """Forget a call whose result was used; return false if its request was cancelled."""
        self._calls.pop(running.call.request_id, None)
        return not running.is_cancelled

    def cancel(self, request_id: str) -> None:
        """End the wait for a call of a request, if one is waited for. Any thread may call this."""
        if running := self._calls.get(request_id):
            running.cancel()

    def _run(self, tool: HostedTool, call: HostedCall, future: Future[str]) -> None:
        """Run a call once fewer than `_MAX_RUNNING` others run."""
        if not self._running.acquire(timeout=self.limits.seconds):
            return
        try:
            if future.set_running_or_notify_cancel():
                text = _text_of(tool.run(call), self.limits.characters)
                with suppress(InvalidStateError):  # it was cancelled
                    future.set_result(text)
        except BaseException as exc:  # also `exit()` in the operator's code
            with suppress(InvalidStateError):
                future.set_exception(_ToolError(exc))
        finally:
            self._running.release()


class RunningCall:
    """A call of a hosted tool that is running. An error is a result, which the model reads.

    Attributes:
        tool: The tool.
        call: What it was sent.
        is_cancelled: Its request was cancelled.
    """

    def __init__(
        self, tool: HostedTool, call: HostedCall, future: Future[str], limits: HostedLimits
    ) -> None:
        """Measure the time from here on."""
        self.tool = tool
        self.call = call
        self.is_cancelled = False
        self._future = future
        self._limits = limits
        self._started_at = time.monotonic()

    def wait(self) -> HostedResult:
        """Wait for the result, up to the time limit."""
        try:
            return self._result(self._future.result(self._limits.seconds))
        except (Exception, CancelledError) as exc:  # the operator's code may raise anything
            return self._error(exc)

    async def wait_async(self) -> HostedResult:
        """Wait for the result on an event loop, up to the time limit."""
        try:
            future = asyncio.wrap_future(self._future)
            return self._result(await asyncio.wait_for(future, self._limits.seconds))
        except Exception as exc:  # the operator's code may raise anything
            return self._error(exc)

    def cancel(self) -> None:
        """End the wait for the result; the code of the tool continues on its thread."""
        self.is_cancelled = True
        if not self._future.cancel():
            with suppress(InvalidStateError):  # it has ended
                self._future.set_exception(CallCancelledError())

    def _result(self, text: str) -> HostedResult:
        return HostedResult(text=text, seconds=time.monotonic() - self._started_at)

    def _error(self, exc: Exception) -> HostedResult:
        if self.is_cancelled:
            return HostedResult(text="", is_error=True)
        has_begun, name = not self._future.cancel(), self.tool.name
        if isinstance(exc, _ToolError):
            text = f"Error: {exc}"
        elif has_begun:
            text = f"Error: {name} did not answer within {self._limits.seconds:g} s"
        else:
            text = (
                f"Error: {name} did not begin within {self._limits.seconds:g} s, since "
                f"{_MAX_RUNNING} other calls run; try again later"
            )
        logger.warning("hosted tool %s failed: %s", name, text, exc_info=exc.__cause__)
        seconds = time.monotonic() - self._started_at
        return HostedResult(text=text, is_error=True, seconds=seconds)


class CallCancelledError(Exception):
    """The request of a call was cancelled."""


class _ToolError(Exception):
    """What the code of a tool raised, which may be an exit of the process."""

    def __init__(self, exc: BaseException) -> None:
        """Describe an exception, whose own description may raise."""
        try:
            text = f"{type(exc).__name__}: {exc}"
        except Exception:  # the operator's code
            text = type(exc).__name__
        super().__init__(_text_of(text[:2000], 2000))
        self.__cause__ = exc


def _text_of(value: object, limit: int) -> str:
    """The text of a result, cut at a limit, without what UTF-8 cannot encode."""
    text = str(value)
    if len(text) > limit:
        text = f"{text[:limit]}\n[cut after {limit} characters]"
    return text.encode(errors="replace").decode()


def recipients_of(tool: HostedTool) -> tuple[str, ...]:
    """Return the recipients by which a model addresses a tool.

    Examples:
        >>> class Python(HostedTool):
        ...     name = "python"
        >>> recipients_of(Python())
        ('python',)
    """
    functions = tool.functions or (_BROWSER if tool.name == "browser" else ())
    return tuple(f"{tool.name}.{function}" for function in functions) or (tool.name,)


def load_hosted_tools(paths: Sequence[Path], limits: HostedLimits | None = None) -> HostedTools:
    """Return the tools of installed packages, and those that files define.

    Args:
        paths: Python files.
        limits: Limits of the tools.

    Raises:
        ModLoadError: A file cannot be run, or defines no tool.
    """
    found = [*_installed()]
    for path in paths:
        found += _in_file(path)
    return HostedTools(found, limits)


def _installed() -> Iterator[HostedTool]:
    for entry_point in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP):
        try:
            yield _instance(entry_point.load())
        except Exception as exc:
            raise ModLoadError(f"hosted tool {entry_point.value}: {exc}") from exc


def _in_file(path: Path) -> list[HostedTool]:
    try:
        space = runpy.run_path(str(path))
    except Exception as exc:
        raise ModLoadError(f"--tools {path}: {type(exc).__name__}: {exc}") from exc
    tools = [_instance(value) for value in space.values() if _is_tool(value)]
    if not tools:
        raise ModLoadError(
            f"--tools {path}: it defines no tool; derive a class from concordance_sdk.HostedTool"
        )
    return tools


def _is_tool(value: Any) -> bool:
    if isinstance(value, type):
        return issubclass(value, HostedTool) and value is not HostedTool
    return isinstance(value, HostedTool)


def _instance(value: Any) -> HostedTool:
    made = value() if isinstance(value, type) else value
    if not isinstance(made, HostedTool):
        raise TypeError(f"{value!r:.80} is no HostedTool")
    return made
