"""The mods that clients have uploaded: each owner has names of its own."""

from concordance_shared import ConflictError, UnknownModError

from concordance_inference.caller import current_caller, current_owner
from concordance_inference.mods.entry import ModEntry, shared
from concordance_inference.mods.mod_versions import ModVersions

#: The most mods of one owner.
MAX_UPLOADS = 64

#: The most mods of all owners.
MAX_ALL = 512


class Uploads:
    """Uploads by owner and name, and those that all callers may use. Not thread-safe."""

    def __init__(self) -> None:
        """Start without uploads."""
        self._own: dict[tuple[str, str], ModEntry] = {}
        self._versions = ModVersions[ModEntry]()
        self._shared: dict[str, ModEntry] = {}

    def visible(self) -> dict[str, ModEntry]:
        """Return the uploads that the present caller may use, by name. Its own have priority."""
        owner = current_owner()
        own = {name: entry for (of, name), entry in self._own.items() if of == owner}
        return {**self._shared, **own}

    def of_others(self) -> list[ModEntry]:
        """Return the uploads of other owners, for a caller that sees all."""
        caller = current_caller()
        if not caller.sees_all:
            return []
        return [entry for entry in self._own.values() if entry.owner != caller.owner]

    def get(self, name: str) -> ModEntry | None:
        """Return the upload that a name means for the present caller."""
        return self._own.get((current_owner(), name)) or self._shared.get(name)

    def selected(self, name: str, digits: str) -> ModEntry | None:
        """Return the version of an upload of the present owner that digits select."""
        return self._versions.selected(_key(current_owner(), name), digits)

    def versions(self, name: str) -> list[str]:
        """Return the versions of an upload of the present owner, the latest last."""
        return [each.version for each in self._versions.of(_key(current_owner(), name))]

    def check_room(self, name: str) -> None:
        """Refuse one upload more of the present owner.

        Raises:
            ConflictError: There are too many, and this one replaces none.
        """
        owner = current_owner()
        if (owner, name) in self._own:
            return
        count = sum(of == owner for of, _ in self._own)
        if count >= MAX_UPLOADS:
            raise ConflictError(
                f"{MAX_UPLOADS} mods are already uploaded, which is the limit; delete one first"
            )
        if len(self._own) >= MAX_ALL:
            raise ConflictError(
                f"all clients together have uploaded {MAX_ALL} mods, which is the limit; ask the "
                "server's operator to delete some"
            )

    def add(self, entry: ModEntry) -> None:
        """Add an upload to those of its owner; it replaces one of the same name."""
        self._own[entry.owner, entry.name] = entry
        self._versions.add(_key(entry.owner, entry.name), entry)

    def remove(self, name: str, owner: str) -> bool:
        """Remove an upload, which is shared no more; return False if its owner has none."""
        if self._own.pop((owner, name), None) is None:
            return False
        self._versions.remove(_key(owner, name))
        if name in self._shared and self._shared[name].owner == owner:
            del self._shared[name]
        return True

    def share(self, name: str, owner: str, *, is_shared: bool) -> ModEntry:
        """Let all callers use the present version of an upload, or its owner only.

        Raises:
            UnknownModError: The owner has no such mod.
            ConflictError: Another owner's mod of the name is shared.
        """
        entry = self._own.get((owner, name))
        if entry is None:
            raise UnknownModError(
                f"{owner!r:.80} has uploaded no mod {name!r:.80}; GET /v1/mods lists all, with "
                "their owners",
                param="name",
            )
        other = self._shared.get(name)
        if other is not None and other.owner != owner:
            raise ConflictError(
                f"the mod {name!r:.80} of {other.owner!r} is shared; one of a name can be",
                param="name",
            )
        self._shared.pop(name, None)
        if not is_shared:
            return entry
        self._shared[name] = shared(entry)
        return self._shared[name]


def _key(owner: str, name: str) -> str:
    return f"{owner}/{name}"
