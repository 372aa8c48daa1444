"""The entries of `mod_debug_logs` as the older server's tree."""

import textwrap
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any

from concordance_inference.mods.compat.quote_mod_sdk.debug_entries import Entry

#: Codes of a terminal's colours.
_EVENT, _MOD, _LOGS, _ACTION = 36, 32, 33, 35

#: Characters of a text in an event's line, and of a line that a mod printed.
_MAX_TEXT, _MAX_LINE = 70, 100


def debug_text(entries: Sequence[Entry], *, ansi_color: bool = False) -> str:
    """Return entries as a tree.

    Args:
        entries: As `debug_entries` returns them.
        ansi_color: Colour it for a terminal.
    """
    tree = _Tree(is_coloured=ansi_color)
    return "\n".join(["GenStart", *tree.lines(entries), "Done"])


class _Tree:
    def __init__(self, *, is_coloured: bool) -> None:
        self._is_coloured = is_coloured

    def lines(self, entries: Sequence[Entry]) -> Iterator[str]:
        number = 0

        def block(entry: Entry) -> int:
            nonlocal number
            number += entry["type"] == "event"
            return number

        for _, group in groupby(entries, block):
            event, *rest = group
            yield self._event(event)
            yield from self._calls(rest)

    def _event(self, entry: Entry) -> str:
        name = self._coloured(_EVENT, f"[{entry['event_type']}]")
        return f"├──{name} {_details(entry['details'])}".rstrip()

    def _calls(self, entries: Sequence[Entry]) -> Iterator[str]:
        actions = [entry for entry in entries if entry["type"] == "action"]
        calls = [entry for entry in entries if entry["type"] == "mod_call"]
        for i, call in enumerate(calls):
            is_end = not actions and i == len(calls) - 1
            branch, bar = ("└─", " ") if is_end else ("├─", "│")
            name = self._coloured(_MOD, call["mod_name"])
            yield f"│     {branch} {name}({call['event_type']})"
            yield from self._logs(call, entries, bar)
        for action in actions:
            name = self._coloured(_ACTION, action["action_type"])
            details = _details(action["details"])
            yield f"│   <─┴ {name}" + (f"({details})" if details else "")
        if calls and not actions:
            yield "│"

    def _logs(self, call: Entry, entries: Sequence[Entry], bar: str) -> Iterator[str]:
        name = call["mod_name"]
        logs = [e["message"] for e in entries if e["type"] == "mod_log" and e["mod_name"] == name]
        for i, message in enumerate(logs):
            corner = "└" if i == len(logs) - 1 else "├"
            yield f"│     {bar}     {corner} {self._coloured(_LOGS, 'Logs:')}"
            for line in message.strip().splitlines():
                for part in textwrap.wrap(line, _MAX_LINE) or [""]:
                    yield f"│     {bar}         {part}"

    def _coloured(self, colour: int, text: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._is_coloured else text


def _details(details: dict[str, Any]) -> str:
    shown = (
        _SHOWN.get(name, lambda value, name=name: f"{name}: {value}")(value)
        for name, value in details.items()
    )
    return ", ".join(filter(None, shown))


def _quoted(text: str) -> str:
    """Quote a text, without characters that change a terminal."""
    return '"' + repr(text)[1:-1].replace('"', '\\"') + '"'


def _tokens(texts: Sequence[str]) -> str:
    return f"tokens: [{', '.join(map(_quoted, texts[:5]))}{'...' if len(texts) > 5 else ''}]"


def _top(tokens: Sequence[dict[str, Any]]) -> str:
    shown = ", ".join(f"{_quoted(each['token_str'])}: {each['prob']:.2f}" for each in tokens)
    return f"top 3: [{shown}]" if shown else ""


#: Details in words; others are shown under their own names.
_SHOWN: dict[str, Callable[[Any], str]] = {
    "input_text": lambda text: f"Input: {_quoted(text[-_MAX_TEXT:])}",
    "token_text": lambda text: f"Sampled: {_quoted(text)}",
    "prompt_length": lambda length: f"Init Prompt Length: {length}",
    "new_length": lambda length: f"new length: {length}",
    "tokens_preview": lambda ids: f"tokens: {ids}",
    "token_count": lambda count: f"{count} token(s)",
    "tokens": _tokens,
    "top_tokens": _top,
    "forced": lambda is_forced: "forced" if is_forced else "",
    "has_tool_calls": lambda has_calls: "tool calls present" if has_calls else "",
    "temperature": lambda temperature: f"temp: {temperature}",
    "error": lambda error: f"error: {_quoted(str(error))}",
}
