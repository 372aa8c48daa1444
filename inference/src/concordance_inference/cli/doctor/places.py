"""Checks of places: settings, the cache folder, the hub, the address, the mods."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from concordance_inference.cli.doctor.finding import Finding, gigabytes, note, ok, problem
from concordance_inference.cli.listener import cannot_listen, listen
from concordance_inference.cli.options import Doctor
from concordance_inference.cli.serve_access import keyring_of
from concordance_inference.cli.server_client import ServerClient, ServerRefusedError
from concordance_inference.cli.settings_file import SettingsError, find_file
from concordance_inference.cli.settings_values import values_of
from concordance_inference.models.cache_folder import cache_folder
from concordance_inference.models.embedded import DEFAULT_MODEL
from concordance_inference.models.store import store_folder
from concordance_inference.mods.catalog import ModCatalog

#: Bytes below which a disk is too full for most models.
_ROOM = 2e9

#: Seconds that a server that listens already has to respond.
_TIMEOUT_S = 2.0


def settings(options: Doctor) -> Iterator[Finding]:
    """The file of settings, and which settings of `serve` are not the default."""
    file = find_file(options.config_file)
    used = {name: each.source for name, each in values_of("serve", file).items() if each.is_set}
    listed = "".join(f"; {name} from {source}" for name, source in used.items())
    where = str(file.path) if file.path else "no file"
    yield ok("settings", f"{where}{listed}", file=where if file.path else None, used=used)


def cache(options: Doctor) -> Iterator[Finding]:
    """The cache folder: converted models and profiles. Only a conversion cannot do without it."""
    is_needed = any(_is_gguf(place) for place in _absent_places(options))
    yield _folder("cache", cache_folder, "CONCORDANCE_CACHE", is_needed=is_needed)


def store(options: Doctor) -> Iterator[Finding]:
    """The folder into which models are downloaded."""
    is_needed = any(not _is_gguf(place) for place in _absent_places(options))
    yield _folder("store", store_folder, "CONCORDANCE_STORE", is_needed=is_needed)


def _folder(check: str, find: Callable[[], Path], variable: str, *, is_needed: bool) -> Finding:
    """A folder that is written to, and the room on its disk."""
    try:
        folder = find()
    except RuntimeError as exc:
        return problem(check, f"{exc}; name a folder in {variable}", writable=False)
    existing = next(each for each in (folder, *folder.parents) if each.exists())
    writable = existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)
    free = shutil.disk_usage(existing).free
    data = {"folder": str(folder), "writable": writable, "free_bytes": free}
    if not writable:
        text = f"{folder} cannot be written; name another folder in {variable}"
        return (problem if is_needed else note)(check, text, **data)
    if free < _ROOM:
        return note(check, f"{folder}: only {gigabytes(free)} free", **data)
    return ok(check, f"{folder}, {gigabytes(free)} free", **data)


def _absent_places(options: Doctor) -> list[str | None]:
    """The models that are converted or downloaded when they are first loaded."""
    from concordance_inference.models.places import present_folder
    from concordance_inference.pool.spec import parse_models

    return [
        spec.place for spec in parse_models(options.model) if present_folder(spec.place) is None
    ]


def _is_gguf(place: str | None) -> bool:
    """True for a model that is converted when it is first loaded."""
    return place in (None, DEFAULT_MODEL) or str(place).endswith(".gguf")


def hub(_: Doctor) -> Iterator[Finding]:
    """The cache of the Hugging Face hub, and how it is used. The token is not shown."""
    from huggingface_hub import constants, get_token

    has_token = get_token() is not None
    offline = bool(constants.HF_HUB_OFFLINE)
    folder = Path(constants.HF_HUB_CACHE)
    text = f"{folder}, {'a' if has_token else 'no'} token" + ", offline" * offline
    yield ok("hub", text, folder=str(folder), has_token=has_token, offline=offline)


def address(options: Doctor) -> Iterator[Finding]:
    """The address to listen on."""
    host, port = options.host, options.port
    if fault := _fault_of_keys(options):
        yield problem("address", fault)
        return
    try:
        listen(host, port).close()
    except OSError as exc:
        yield problem("address", cannot_listen(host, port, exc) + _running(host, port))
    else:
        yield ok("address", f"{host}:{port} is free", host=host, port=port)


def _fault_of_keys(options: Doctor) -> str | None:
    """Why the keys do not allow the address."""
    try:
        keyring_of(options)
    except SettingsError as exc:
        return str(exc)
    return None


def _running(host: str, port: int) -> str:
    """The model of a Concordance server that listens there already; empty if there is none."""
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    try:
        model = ServerClient(url, timeout_s=_TIMEOUT_S).model()
    except ServerRefusedError:
        return ""
    return f". A Concordance server with the model {model} listens there"


def mods(options: Doctor) -> Iterator[Finding]:
    """The mods, by loading them."""
    names = [entry.name for entry in ModCatalog(options.mods).entries()]
    given = "".join(f", with {path}" for path in options.mods)
    yield ok("mods", f"{len(names)} mods{given}", names=names)
