"""`concordance requests branch` and `tree`: branches of completions on a running server."""

import sys
from typing import Any

import msgspec
from concordance_shared import InvalidRequestError
from rich.console import Console
from rich.markup import escape
from rich.tree import Tree

from concordance_inference.cli.options import BranchRequest, ShowBranches
from concordance_inference.cli.server_client import ServerClient, quoted, refusal

#: Columns of the tree on a pipe, where each completion is one line.
_PIPE_WIDTH = 4096

#: Characters of a text that the tree shows.
_MAX_TEXT = 40


def branch(options: BranchRequest) -> None:
    """Print a completion from its beginning, and on stderr what of it was read again.

    Raises:
        InvalidRequestError: The tokens are not numbers.
        ServerRefusedError: There is no such completion, or the branch is out of range.
    """
    server = ServerClient(options.url)
    body = _body(options, _tree_of(server, options.id)["root"]["model"])
    is_plain = options.id.startswith("cmpl-")
    path = "/v1/completions" if is_plain else "/v1/chat/completions"
    if options.json:
        sys.stdout.write(msgspec.json.encode(server.call("POST", path, body)).decode() + "\n")
        return
    if not is_plain:
        body["separate_reasoning"] = False  # the text is the model's, as its tokens are
    about: dict[str, Any] = {}
    for chunk in server.events(path, {**body, "stream": True}):
        if error := chunk.get("error"):
            raise refusal(error)
        for choice in chunk["choices"]:
            text = choice["text"] if is_plain else choice["delta"].get("content")
            sys.stdout.write(text or "")
            sys.stdout.flush()
            about |= choice.get("concordance", {}) | chunk.get("concordance", {})
    sys.stdout.write("\n")
    found = about["branch"]
    sys.stderr.write(
        f"{found['id']} branches off {found['parent']} at token {found['position']}: "
        f"{found['read_tokens']} tokens read, {found['cached_tokens']} cached\n"
    )


def tree(options: ShowBranches) -> None:
    """Print the tree of a completion."""
    found = _tree_of(ServerClient(options.url), options.id)
    if options.json:
        sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
        return
    width = None if sys.stdout.isatty() else _PIPE_WIDTH
    Console(width=width, highlight=False).print(_shown(found["root"], found["id"]))


def _tree_of(server: ServerClient, completion_id: str) -> dict[str, Any]:
    return server.call("GET", f"/v1/branches/{quoted(completion_id)}")


def _body(options: BranchRequest, model: str) -> dict[str, Any]:
    point: dict[str, Any] = {"id": options.id, "position": options.at}
    if options.text is not None:
        point["text"] = options.text
    if options.token_ids is not None:
        point["token_ids"] = _numbers(options.token_ids)
    names = ("max_tokens", "temperature", "seed")
    given = {name: getattr(options, name) for name in names}
    body = {name: value for name, value in given.items() if value is not None}
    return {"model": model, "branch_from": point, **body} | (
        {"mods": options.mod} if options.mod else {}
    )


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as exc:
        raise InvalidRequestError(
            f"--token-ids {text}: write the ids of tokens with commas, such as 11,2602"
        ) from exc


def _shown(node: dict[str, Any], named: str) -> Tree:
    """A completion and its branches; the one that was named is bold."""
    line = escape(_line(node))
    shown = Tree(f"[bold]{line}[/bold]" if node["id"] == named else line)
    for each in node["branches"]:
        shown.add(_shown(each, named))
    if more := node.get("more_branches"):
        shown.add(f"{more} more")
    return shown


def _line(node: dict[str, Any]) -> str:
    parts = [node["id"]]
    if node["position"] is not None:
        text = node["text"] or ""
        put = repr(text if len(text) <= _MAX_TEXT else text[:_MAX_TEXT] + "…")
        parts.append(f"at {node['position']}: {put}" if text else f"at {node['position']}")
    parts.append(node["finish_reason"] or node["state"])
    if node["completion_tokens"] is not None:
        parts.append(f"{node['completion_tokens']} tokens")
    return "  ".join(parts)
