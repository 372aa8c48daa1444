"""`concordance requests`: list, cancel and act on the requests of a running server."""

import sys
from typing import Any

import msgspec
from concordance_shared import InvalidRequestError
from rich.box import HEAVY_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from concordance_inference.cli.options import ActOnRequest, CancelRequest, ListRequests
from concordance_inference.cli.server_client import ServerClient, quoted

#: Columns of the table on a pipe, where programs read it: every row is one line.
_PIPE_WIDTH = 4096


def list_(options: ListRequests) -> None:
    """Print what runs, waits or is paused."""
    requests = ServerClient(options.url).call("GET", "/v1/requests")["data"]
    if options.json:
        sys.stdout.write(msgspec.json.encode(requests).decode() + "\n")
        return
    is_terminal = sys.stdout.isatty()
    table = Table(box=HEAVY_HEAD if is_terminal else None)
    for heading in ("id", "state", "prompt", "completion", "age", "mods"):
        table.add_column(heading, overflow="fold")
    for request in requests:
        for choice in request["choices"] or [{"state": request["state"]}]:
            table.add_row(*map(escape, _row(request, choice)))
    Console(width=None if is_terminal else _PIPE_WIDTH).print(table)


def _row(request: dict[str, Any], choice: dict[str, Any]) -> tuple[str, ...]:
    return (
        str(request["id"]),
        str(choice["state"]),
        str(choice.get("prompt_tokens", "")),
        str(choice.get("completion_tokens", "")),
        f"{request['age_s']:.0f} s",
        ", ".join(choice.get("mods", ())),
    )


def cancel(options: CancelRequest) -> None:
    """Cancel a request."""
    ServerClient(options.url).call("DELETE", f"/v1/requests/{quoted(options.id)}")


def act(options: ActOnRequest) -> None:
    """Apply an action to a request, and print what it did.

    Raises:
        InvalidRequestError: The action is not JSON.
    """
    text = options.action if options.action.startswith("{") else f'{{"type": "{options.action}"}}'
    try:
        action = msgspec.json.decode(text)
    except msgspec.DecodeError as exc:
        raise InvalidRequestError(
            f"the action is not JSON ({exc}); write a type such as pause, or an object such as "
            '\'{"type": "force", "text": "Well, "}\''
        ) from exc
    done = ServerClient(options.url).call(
        "POST", f"/v1/requests/{quoted(options.id)}/actions", action
    )
    sys.stdout.write(msgspec.json.encode(done).decode() + "\n")
