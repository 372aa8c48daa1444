"""A mod in the catalog, with what clients read of it."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from concordance_sdk import ModPayload
from concordance_sdk.host import ModDefinition

from concordance_inference.mods.description import description_of
from concordance_inference.mods.uploaded import sandboxed
from concordance_inference.sandbox.sandboxed_mod import SandboxedMod
from concordance_inference.sandbox.sources import mod_source

if TYPE_CHECKING:
    from concordance_inference.sandbox.supervisor import Supervisor

Source = Literal["installed", "path", "uploaded"]


class _Parameters(msgspec.Struct):
    """The part of a description that lists parameters: a JSON Schema of an object."""

    parameters: dict[str, Any] | None = None

    @property
    def required(self) -> Sequence[str]:
        """The parameters without a default."""
        schema = self.parameters or {}
        name = schema.get("$ref", "").rpartition("/")[2]
        return schema.get("$defs", {}).get(name, schema).get("required", ())


class ModEntry(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A mod in the catalog. A running request keeps the entry that it started with."""

    definition: ModDefinition | SandboxedMod  # the latter of uploads, which only workers load
    source: Source
    version: str
    created: int  # Unix time in seconds
    owner: str = ""  # of an upload
    description: msgspec.Raw  # JSON for clients

    @property
    def name(self) -> str:
        """Its name in requests."""
        return self.definition.name

    @property
    def needs_parameters(self) -> bool:
        """True if it has a parameter without a default."""
        return bool(msgspec.json.decode(self.description, type=_Parameters).required)


def mod_entry(
    definition: ModDefinition, source: Source, version: str, *, owner: str = ""
) -> ModEntry:
    """Make the entry of a mod.

    Args:
        definition: The mod.
        source: Where it comes from.
        version: The first digits of its content's hash; empty if it has none.
        owner: Who has uploaded it.
    """
    about = _about(source, version, owner)
    return ModEntry(
        definition=definition,
        source=source,
        version=version,
        created=about["created"],
        owner=owner,
        description=description_of(definition, about),
    )


def uploaded_entry(
    payload: ModPayload, sandbox: "Supervisor | None", *, owner: str = ""
) -> ModEntry:
    """Make the entry of an upload, which a worker loads and describes.

    Args:
        payload: The upload.
        sandbox: Has the workers; `None` if this program has none.
        owner: Who uploads it.

    Raises:
        ConcordanceError: The payload is malformed, or the mod cannot be loaded here.
    """
    source = mod_source(payload)
    about = _about("uploaded", source.version, owner)
    mod, description = sandboxed(source, sandbox, about)
    return ModEntry(
        definition=mod,
        source="uploaded",
        version=source.version,
        created=about["created"],
        owner=owner,
        description=description,
    )


def _about(source: Source, version: str, owner: str) -> dict[str, Any]:
    """Return the fields of a description that the mod does not know."""
    content = f"sha256:{version}" if version else None
    about = {"created": int(time.time()), "source": source, "version": version, "hash": content}
    return {**about, "owner": owner} if owner else about


def shared(entry: ModEntry) -> ModEntry:
    """Return an entry whose description says that all callers may use it."""
    fields = msgspec.json.decode(entry.description, type=dict[str, Any])
    description = msgspec.Raw(msgspec.json.encode({**fields, "shared": True}))
    return msgspec.structs.replace(entry, description=description)
