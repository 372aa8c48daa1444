"""The models of a pool, to which models that are stored later are added."""

import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from concordance_inference.pool.entry import Entry
from concordance_inference.pool.spec import ModelSpec

#: Seconds between two looks for new models, however many requests name unknown ones.
LOOK_S = 1.0

#: Returns the models that are stored, besides those of the names that it is given.
FindNew = Callable[[Collection[str]], Sequence[ModelSpec]]


class Entries(Mapping[str, Entry]):
    """Models by name. May be read while another thread adds some."""

    def __init__(self, specs: Sequence[ModelSpec], find_new: FindNew | None) -> None:
        """Start with models that are not loaded.

        Args:
            specs: The models.
            find_new: Finds further ones; `None` if there are no others.
        """
        self._by_name = {spec.name: Entry(spec) for spec in specs}
        self._find_new = find_new
        self._lock = threading.Lock()
        self._looked_at: float | None = None

    def __getitem__(self, name: str) -> Entry:
        return self._by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)  # replaced as a whole, never changed

    def __len__(self) -> int:
        return len(self._by_name)

    def add_new(self, others: Collection[str]) -> bool:
        """Add the models that were stored since the last look; True if there are some. Blocks.

        Args:
            others: Names that no model may have.
        """
        if self._find_new is None:
            return False
        with self._lock:
            is_recent = self._looked_at and time.monotonic() < self._looked_at + LOOK_S
            if is_recent:
                return False
            specs = self._find_new({*self._by_name, *others})
            self._by_name = self._by_name | {spec.name: Entry(spec) for spec in specs}
            self._looked_at = time.monotonic()
            return bool(specs)
