"""A mod in the catalog, with what clients read of it."""

import time
from typing import Any, Literal

import msgspec
from concordance_sdk.host import ModDefinition

from concordance_inference.mods.description import description_of

Source = Literal["installed", "path", "uploaded"]


class ModEntry(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A mod in the catalog. A running request keeps the entry that it started with."""

    definition: ModDefinition
    source: Source
    version: str
    created: int  # Unix time in seconds
    owner: str = ""  # of an upload
    description: msgspec.Raw  # JSON for clients

    @property
    def name(self) -> str:
        """Its name in requests."""
        return self.definition.name


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
    created = int(time.time())
    content = f"sha256:{version}" if version else None
    about: dict[str, Any] = {"created": created, "source": source, "version": version}
    about |= {"hash": content, **({"owner": owner} if owner else {})}
    return ModEntry(
        definition=definition,
        source=source,
        version=version,
        created=created,
        owner=owner,
        description=description_of(definition, about),
    )


def shared(entry: ModEntry) -> ModEntry:
    """Return an entry whose description says that all callers may use it."""
    fields = msgspec.json.decode(entry.description, type=dict[str, Any])
    description = msgspec.Raw(msgspec.json.encode({**fields, "shared": True}))
    return msgspec.structs.replace(entry, description=description)
