"""`concordance mods`: write, list, upload and delete mods."""

import re
import sys
from collections.abc import Mapping
from typing import Any

import msgspec
from concordance_shared import InvalidRequestError
from rich.box import HEAVY_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from concordance_inference.cli.options import ListMods, NewMod, PushMod, RemoveMod, ShareMod
from concordance_inference.cli.server_client import ServerClient, quoted
from concordance_inference.mods.push_payload import push_payload

#: Columns of a table on a pipe, where programs read it: every row is one line.
_PIPE_WIDTH = 4096

#: Columns for everything but the name, in a narrow terminal.
_OTHER_WIDTH = 80

_CLASS = '''"""{title}: describe here what it does."""

from concordance_sdk import mod


@mod(max_backtrack=16)
class {class_name}:
    """Describe here what it does, in one line."""

    word: str = "Hello"  # a parameter: requests may set it

    def __init__(self):
        self.ids = []  # state of one request, dropped when the request ends

    def added(self, event, actions, tokenizer):
        """Called when tokens were added to the completion."""
        self.ids[event.step :] = event.added_tokens
        if event.step == 0 and not event.forced:
            return actions.backtrack(len(event.added_tokens), tokenizer.encode(self.word))
'''

_FUNCTION = '''"""{title}: describe here what it does."""

from concordance_sdk import ForwardPass, mod


@mod(on=[ForwardPass], max_backtrack=0)  # it backtracks no tokens
def {name}(event, actions, tokenizer):
    """Describe here what it does, in one line."""
    if event.step == 0:
        return actions.force_tokens(tokenizer.encode("Hello"))
'''

_SCRIPT = '''"""{title}: describe here what it does."""

from concordance_sdk import mod


@mod
def {name}(run, word: str = "Hello"):  # `word` is a parameter: requests may set it
    """Describe here what it does, in one line."""
    yield run.force(word)
    yield run.generate()  # until the model ends the completion
'''

_TEST = '''"""Plays the mod against a scripted model: no server, no weights."""

from {name} import {target}


def test_it_begins_with_hello(play):
    assert play({target}, script="xxxxx you").text == "Hello you"
'''


def new(options: NewMod) -> None:
    """Write a template of a mod, and its test.

    Raises:
        InvalidRequestError: The name cannot be a module's, or the files exist.
    """
    name, folder = options.name, options.folder
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", name):
        raise InvalidRequestError(
            f"{name!r} cannot be a mod's file name; use lower-case letters, digits and '_'"
        )
    class_name = "".join(part.capitalize() for part in name.split("_"))
    fields = {
        "name": name,
        "class_name": class_name,
        "title": name.replace("_", " ").capitalize(),
        "target": name if options.function or options.script else class_name,
    }
    files = {
        folder / f"{name}.py": _template(options),
        folder / f"test_{name}.py": _TEST,
    }
    for path in files:
        if path.exists():
            raise InvalidRequestError(f"{path} exists; choose another name or --folder")
    folder.mkdir(parents=True, exist_ok=True)
    for path, template in files.items():
        path.write_text(template.format(**fields), encoding="utf-8")
        print(path)


def _template(options: NewMod) -> str:
    if options.function and options.script:
        raise InvalidRequestError("--function and --script are two templates; choose one")
    if options.script:
        return _SCRIPT
    return _FUNCTION if options.function else _CLASS


def list_(options: ListMods) -> None:
    """Print the mods of a server, as a table or as JSON."""
    entries = ServerClient(options.url).call("GET", "/v1/mods")["data"]
    if options.json:
        print(msgspec.json.format(msgspec.json.encode(entries), indent=2).decode())
        return
    longest = max((len(entry["id"]) for entry in entries), default=4)
    console = _list_console(longest)
    table = Table(box=HEAVY_HEAD if sys.stdout.isatty() else None)
    table.add_column("name", no_wrap=True, min_width=longest)
    for heading in ("source", "version", "events", "parameters", "what it does"):
        table.add_column(heading, overflow="fold")
    for entry in entries:
        table.add_row(*map(escape, _row(entry)))
    console.print(table)


def _row(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """The cells of a mod's description."""
    parameters = (entry["parameters"] or {}).get("$defs", {})
    names = [key for schema in parameters.values() for key in schema.get("properties", {})]
    events = [*entry["events"], *(["of parts"] if entry["has_parts"] else [])]
    about = entry["source"], entry["version"], ", ".join(events), ", ".join(names)
    return entry["id"], *about, entry["description"]


def _list_console(longest_name: int) -> Console:
    """A console in which no name is shortened or folded; on a pipe, each mod is one line."""
    if not sys.stdout.isatty():
        return Console(width=_PIPE_WIDTH)
    return Console(width=max(Console().width, longest_name + _OTHER_WIDTH))


def push(options: PushMod) -> None:
    """Upload a mod of a file, or of a folder with all its files.

    Raises:
        ModLoadError: It cannot be loaded, or does not define that mod.
        ServerRefusedError: The server refused it.
    """
    payload = push_payload(options.file, folder=options.folder, mod=options.mod, name=options.name)
    entry = ServerClient(options.url).call("POST", "/v1/mods", payload)
    print(f"{entry['id']} {entry['version']}")


def remove(options: RemoveMod) -> None:
    """Delete an uploaded mod."""
    query = "" if options.owner is None else f"?owner={quoted(options.owner)}"
    ServerClient(options.url).call("DELETE", f"/v1/mods/{quoted(options.name)}{query}")
    print(f"deleted {options.name}")


def share(options: ShareMod) -> None:
    """Let all callers of a server use an uploaded mod, or its owner only."""
    body = {
        "shared": not options.stop_sharing,
        **({"owner": options.owner} if options.owner else {}),
    }
    path = f"/v1/mods/{quoted(options.name)}/share"
    entry = ServerClient(options.url).call("POST", path, body)
    what = "its owner may use" if options.stop_sharing else "all callers may use"
    print(f"{what} {entry['id']} {entry['version']}")
