"""Traces as one HTML file, made of the modules of the inspector. The file loads nothing."""

import base64
import hashlib
from functools import cache
from html import escape
from importlib.resources import files
from pathlib import Path

import msgspec
from concordance_shared import InvalidRequestError
from msgspec.structs import replace

from concordance_inference.traces.bundle import bundled
from concordance_inference.traces.schema import Trace, TraceToken

#: The most bytes of the traces in a page; `_shortened` leaves out the rest.
MAX_BYTES = 16_000_000

#: The most characters of the prompt, and of the completion as text.
_MAX_TEXT = 200_000

#: The package with the page's modules. A name, since traces do not depend on the server.
_INSPECTOR = "concordance_inference.server.inspector"

_STYLES = ("inspector.css", "tokens.css", "comparison.css", "trace_page.css")

_TEMPLATE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<trace-page></trace-page>
<noscript><p>This file needs JavaScript to show the trace that it contains.</p></noscript>
<script type="application/json" id="traces">{data}</script>
<script type="module">{script}</script>
</body>
</html>
"""


class TracePage:
    """A page with one trace, or with two beside each other. A notebook shows it.

    The page is one file without a network. A policy in it lets no script run but its own, whatever
    the texts of the traces are.
    """

    def __init__(self, *traces: Trace) -> None:
        """Make a page.

        Args:
            *traces: One or two.

        Raises:
            InvalidRequestError: There are none, or more.
        """
        if len(traces) not in (1, 2):
            raise InvalidRequestError(f"a page has one trace or two; got {len(traces)}")
        self._traces = traces

    @property
    def html(self) -> str:
        """The text of the file."""
        script, style = _parts()
        room = MAX_BYTES // len(self._traces)
        data = b",".join(_shortened(trace, room) for trace in self._traces).decode()
        policy = (
            f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
            "base-uri 'none'; form-action 'none'"
        )
        return _TEMPLATE.format(
            policy=policy,
            title=escape("Trace " + " and ".join(trace.id for trace in self._traces)),
            style=style,
            # Without "<" no text can end the element, and JSON stays the same.
            data=f"[{data}]".replace("<", "\\u003c"),
            script=script,
        )

    def write(self, path: Path) -> None:
        """Write the file."""
        path.write_text(self.html, encoding="utf-8")

    def _repr_html_(self) -> str:
        """HTML for notebooks: the page in a frame that reaches neither the notebook nor files."""
        return (
            f'<iframe srcdoc="{escape(self.html)}" sandbox="allow-scripts" title="Trace" '
            'width="100%" height="720" style="border: 0"></iframe>'
        )


@cache
def _parts() -> tuple[str, str]:
    """Return the script and the style sheet, which are the same for all pages."""
    folder = files(_INSPECTOR) / "page"

    def read(name: str) -> str:
        return (folder / name).read_text(encoding="utf-8")

    return bundled("trace_page.js", read), "\n".join(map(read, _STYLES))


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _shortened(trace: Trace, room: int) -> bytes:
    """Return a trace as JSON that fits.

    Left out are the ids of the prompt, and, if it does not fit, the forward passes, then the
    alternatives of tokens, then the second half of the tokens until the rest fits.
    """
    trace = replace(
        trace,
        prompt_ids=None,
        completion_ids=[],
        prompt=trace.prompt and trace.prompt[-_MAX_TEXT:],
        text=trace.text[:_MAX_TEXT],
    )
    data = msgspec.json.encode(trace)
    if len(data) > room:
        trace = replace(trace, steps=[], is_truncated=True)
        data = msgspec.json.encode(trace)
    if len(data) > room:
        trace = replace(trace, tokens=[_brief(token) for token in trace.tokens])
        data = msgspec.json.encode(trace)
    while len(data) > room and (trace.tokens or trace.events or trace.logs):
        trace = _halved(trace)
        data = msgspec.json.encode(trace)
    return data


def _brief(token: TraceToken) -> TraceToken:
    return replace(token, alternatives=[])


def _halved(trace: Trace) -> Trace:
    tokens, events, logs = trace.tokens, trace.events, trace.logs
    return replace(
        trace,
        tokens=tokens[: len(tokens) // 2],
        events=events[: len(events) // 2],
        logs=logs[: len(logs) // 2],
    )
