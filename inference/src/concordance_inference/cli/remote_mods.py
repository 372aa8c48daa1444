"""The mods of a command that uses a running server: uploaded for its request, then removed."""

import secrets
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import msgspec
from concordance_sdk.parameters import parse_parameters
from concordance_shared import ModReport

from concordance_inference.cli.server_client import ServerClient, ServerRefusedError, quoted
from concordance_inference.mods.catalog import NamedMod, defined_in_file
from concordance_inference.mods.loading import load_path
from concordance_inference.mods.push_payload import push_payload

#: Statuses of a proxy or a server that accepts no uploads.
_NO_UPLOADS = (401, 403, 404, 405, 501)

_NOT_FOUND = 404

#: Characters of a mod's name that its private name keeps: at most 64 are allowed.
_KEPT = 48


class RemoteMods:
    """The mods of a request to a server, and the private names of those that were uploaded."""

    def __init__(self, server: ServerClient, paths: Sequence[Path]) -> None:
        """Load the mods of local files, which take precedence over those of the server.

        Raises:
            ModLoadError: One cannot be loaded.
        """
        self._server = server
        self._local = {
            definition.name: (definition, path)
            for path in paths
            for definition in load_path(path)[0]
        }
        self._uploaded: dict[str, tuple[str, Path]] = {}  # private name -> own name, path
        self._of_server: list[str] = []

    def select(self, mods: Sequence[NamedMod]) -> list[dict[str, Any]]:
        """Return the request's `mods`; upload those of local files under private names.

        Raises:
            InvalidRequestError: A parameter is missing, unknown or of the wrong type.
            ServerRefusedError: The server has no such mod, or refuses an upload.
        """
        return [self._upload(mod) if mod.name in self._local else self._known(mod) for mod in mods]

    def _upload(self, mod: NamedMod) -> dict[str, Any]:
        definition, path = self._local[mod.name]
        values = parse_parameters(
            definition.parameters, mod.params, name=mod.name, strict=False, param="--mod"
        )
        private = f"{mod.name[:_KEPT]}.{secrets.token_hex(4)}"
        payload = push_payload(path, mod=mod.name, name=private)
        self._uploaded[private] = (mod.name, path)
        try:
            self._server.call("POST", "/v1/mods", payload)
        except ServerRefusedError as exc:
            del self._uploaded[private]
            raise self._explained(exc, path, private, mod.name) from exc
        return {"name": private, "params": msgspec.to_builtins(values)}

    def _explained(
        self, exc: ServerRefusedError, path: Path, private: str, name: str
    ) -> ServerRefusedError:
        message = exc.message.replace(private, name)
        if exc.status in _NO_UPLOADS:
            why = f"({exc.status}: {message})"
            message = (
                f"the server at {self._server.url} accepts no uploads {why}, so {path} cannot "
                "run there: leave out --url, or use a mod that the server has"
            )
        return ServerRefusedError(message, status=exc.status)

    def _known(self, mod: NamedMod) -> dict[str, Any]:
        """A mod of the server, with texts converted to the types of its parameters."""
        self._of_server.append(mod.name)
        params: dict[str, Any] = dict(mod.params)
        if params:
            described = self._server.call("GET", f"/v1/mods/{quoted(mod.name)}")
            schema = cast(dict[str, Any], described["parameters"] or {})
            params = {key: _typed(text, schema, key) for key, text in params.items()}
        return {"name": mod.name, "params": params}

    def plain(self, text: str) -> str:
        """Replace the private names in a text, and paths in uploads by those of the files."""
        for private, (name, path) in self._uploaded.items():
            folder = path if path.is_dir() else path.parent
            text = text.replace(f"<mod {private}>/", f"{folder}/").replace(private, name)
        return text

    def with_own_names(self, exc: ServerRefusedError) -> ServerRefusedError:
        """The server's error, with the names of the mods and files of this machine."""
        message = self.plain(exc.message)
        if exc.status == _NOT_FOUND:
            definitions = [definition for definition, _ in self._local.values()]
            message += "".join(defined_in_file(name, definitions) for name in self._of_server)
        named = ServerRefusedError(message, status=exc.status)
        named.traceback = exc.traceback and self.plain(exc.traceback)
        named.reports = self.own_reports(exc.reports)
        return named

    def own_reports(self, reports: Sequence[ModReport]) -> tuple[ModReport, ...]:
        """Reports with the mods' own names."""
        return tuple(
            msgspec.structs.replace(report, mod=self.plain(report.mod)) for report in reports
        )

    def remove(self) -> None:
        """Delete the uploads from the server; one that fails is reported, not raised."""
        for private, (name, _) in self._uploaded.items():
            try:
                self._server.call("DELETE", f"/v1/mods/{quoted(private)}")
            except ServerRefusedError as exc:
                text = f"concordance: mod {name!r} remains on the server as {private!r}: {exc}"
                print(text, file=sys.stderr)


@contextmanager
def remote_mods(server: ServerClient, paths: Sequence[Path]) -> Generator[RemoteMods]:
    """Use mods on a server; what was uploaded in the block is removed at its end.

    Errors of the server name the mods and files of this machine.
    """
    mods = RemoteMods(server, paths)
    try:
        yield mods
    except ServerRefusedError as exc:
        raise mods.with_own_names(exc) from exc
    finally:
        mods.remove()


def _typed(text: str, schema: Mapping[str, Any], key: str) -> Any:
    """Convert a text of the command line to the type that a mod's JSON Schema has for `key`.

    A text that does not fit is sent as it is: the server's error names the type.
    """
    definitions: Mapping[str, Any] = schema.get("$defs", {})
    properties = _resolved(schema, definitions).get("properties", {})
    return _converted(text, properties.get(key, {}), definitions)


def _resolved(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = str(schema.get("$ref", ""))
    return definitions.get(reference.rpartition("/")[2], {}) if reference else schema


def _converted(text: str, schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Any:
    schema = _resolved(schema, definitions)
    if alternatives := schema.get("anyOf"):
        kinds = {_resolved(each, definitions).get("type") for each in alternatives}
        if "string" in kinds:
            return text
        fitting = (_converted(text, each, definitions) for each in alternatives)
        return next((value for value in fitting if value != text), text)
    kind = schema.get("type")
    if kind == "array" and not text.startswith("["):
        return [_converted(text, schema.get("items", {}), definitions)]
    if kind in ("array", "object", "integer", "number", "boolean", "null"):
        try:
            return msgspec.json.decode(text.lower() if kind == "boolean" else text)
        except msgspec.DecodeError:
            return text
    return text
