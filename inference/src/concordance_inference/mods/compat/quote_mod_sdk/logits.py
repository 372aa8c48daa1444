"""Logits as older mods read them and hand them back: an array of numpy that is a batch of one row.

Older mods write `row[0, id]`, as the array is, and `row[id]`, as if it were the row; both are read.
"""

import enum
from collections.abc import Iterator, Sequence
from typing import Any, Self, cast

import numpy as np
from concordance_shared import Logits


class OlderRow(np.ndarray):
    """A batch of one row of scores, `(1, vocab)`, that `[id]` reads and sets as `[0, id]` does.

    What an array of two dimensions gives for an index, it gives: `[0]` and `[-1]` are the row. Any
    other number names a token, as do lists of numbers and masks as long as the row. What is taken
    out of it, or copied by numpy, is an array like any other.
    """

    def __array_finalize__(self, made_of: Any) -> None:
        """Be another array's view."""

    def __getitem__(self, key: Any) -> Any:
        """As numpy does; `[id]` is `[0, id]`."""
        found = super().__getitem__(_two_dimensional(self, key))
        is_row = isinstance(found, OlderRow) and found.ndim == 1
        return found.view(np.ndarray) if is_row else found

    def __setitem__(self, key: Any, value: Any) -> None:
        """As numpy does; `[id]` is `[0, id]`."""
        super().__setitem__(_two_dimensional(self, key), value)

    def __iter__(self) -> Iterator[Any]:
        """As numpy does: the rows of a batch, the numbers of a row."""
        return iter([super(OlderRow, self).__getitem__(i) for i in range(len(self))])

    def to_numpy(self) -> Self:
        """Itself: what `Tensor.from_numpy(array).to_numpy()` gives."""
        return self


def _two_dimensional(row: np.ndarray, key: Any) -> Any:
    """The index of a batch of one row that an index means."""
    if row.ndim != 2 or row.shape[0] != 1 or isinstance(key, tuple):
        return key
    return (0, key) if _names_tokens(key, row.shape[1]) else key


def _names_tokens(key: Any, vocab: int) -> bool:
    """Whether an index speaks of tokens, since it cannot speak of the one row."""
    if isinstance(key, slice):
        return _is_inner(key, vocab)
    if isinstance(key, bool | np.bool_):
        return False
    if isinstance(key, int | np.integer):
        return key not in (0, -1)
    if isinstance(key, Sequence | np.ndarray):
        ids = np.asarray(cast(Any, key))
        if ids.dtype == np.bool_:
            return ids.shape == (vocab,) and vocab != 1
        return ids.ndim == 1 and ids.size > 0 and not np.isin(ids, (0, -1)).all()
    return False


def _is_inner(key: slice, vocab: int) -> bool:
    """Whether a slice is of tokens: one of the row that leaves out the row is of no use."""
    return not range(1)[key] and bool(range(vocab)[key])


class Tensor(np.lib.mixins.NDArrayOperatorsMixin):
    """An array, as the older engine handed it out and took it back; read by `to_numpy()`.

    One of the engine's logits is read from the device only when it is asked for.
    """

    def __init__(self, array: Any = None, *, logits: Logits | None = None) -> None:
        """Hold an array, or logits of the engine.

        Args:
            array: An array of numpy, or what one can be made of.
            logits: The engine's.
        """
        self._array: Any = array
        self._logits = logits
        self.device: Any = CPU()

    @classmethod
    def of_engine(cls, logits: Logits) -> Self:
        """The logits of one position, as a batch of one row.  (1, vocab) float32"""
        return cls(logits=logits)

    @classmethod
    def from_numpy(cls, array: Any) -> Self:
        """A tensor of an array."""
        return cls(array)

    @classmethod
    def from_dlpack(cls, array: Any) -> Self:
        """A tensor of an array of another library."""
        return cls(array if isinstance(array, np.ndarray) else np.from_dlpack(array))

    @classmethod
    def zeros(cls, shape: Sequence[int], dtype: Any = np.float32, device: Any = None) -> Self:
        """A tensor of zeros."""
        del device
        return cls(np.zeros(tuple(shape), _numpy_dtype(dtype)))

    @property
    def is_untouched(self) -> bool:
        """Whether it is what the engine gave, and was never read, so that nothing has changed."""
        return self._logits is not None and self._array is None

    def to_numpy(self) -> np.ndarray:
        """The array, which may be changed and handed back."""
        if self._array is None and self._logits is not None:
            row = np.asarray(self._logits.to_numpy(), np.float32)
            self._array = row.reshape(1, -1).view(OlderRow)
        if not isinstance(self._array, np.ndarray):
            self._array = np.asarray(self._array)
        return self._array

    def to(self, device: Any = None, *_: Any, **__: Any) -> Self:
        """Itself, wherever it is to go: the engine takes it from there."""
        del device
        return self

    cpu = cuda = contiguous = to

    def copy(self, device: Any = None, stream: Any = None) -> "Tensor":
        """Another tensor of the same numbers."""
        del device, stream
        return Tensor(self.to_numpy().copy())

    clone = copy

    def inplace_copy_from(self, other: Any) -> None:
        """Take over the numbers of another."""
        self.to_numpy()[...] = other.to_numpy() if isinstance(other, Tensor) else other

    def copy_(self, other: Any) -> Self:
        """Take over the numbers of another, and be the same tensor."""
        self.inplace_copy_from(other)
        return self

    def item(self) -> Any:
        """The only number."""
        return self.to_numpy().item()

    def tolist(self) -> Any:
        """The numbers as lists."""
        return self.to_numpy().tolist()

    @property
    def shape(self) -> tuple[int, ...]:
        """`(1, vocab)`, of logits."""
        if self._logits is not None and self._array is None:
            return (1, len(self._logits))
        return tuple(np.shape(self._array))

    @property
    def rank(self) -> int:
        """How many dimensions it has."""
        return len(self.shape)

    ndim = rank

    @property
    def num_elements(self) -> int:
        """How many numbers it has."""
        return int(np.prod(self.shape))

    @property
    def dtype(self) -> Any:
        """What kind of numbers."""
        return np.dtype(np.float32) if self.is_untouched else self.to_numpy().dtype

    @property
    def is_host(self) -> bool:
        """Whether numpy can read it where it is."""
        return True

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        """As the array does; a part of more than one number is a tensor too."""
        found: Any = self.to_numpy()[key]
        return Tensor(found) if np.ndim(found) else found

    def __setitem__(self, key: Any, value: Any) -> None:
        """As the array does."""
        self.to_numpy()[key] = value.to_numpy() if isinstance(value, Tensor) else value

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:  # noqa: FBT001
        """What `numpy.asarray(event.logits)` gives."""
        array = self.to_numpy() if dtype is None else self.to_numpy().astype(dtype)
        return array.copy() if copy else array

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        """Arithmetic and numpy's functions, on the array; they give arrays."""
        arrays = [item.to_numpy() if isinstance(item, Tensor) else item for item in inputs]
        if out := options.get("out"):
            options["out"] = tuple(o.to_numpy() if isinstance(o, Tensor) else o for o in out)
        return getattr(ufunc, method)(*arrays, **options)

    # What the newer logits answer without being read whole

    def top_k(self, k: int) -> list[tuple[int, float]]:
        """The `k` best `(token_id, score)` pairs, best first."""
        return self._engines().top_k(k)

    def entropy(self) -> float:
        """How undecided the model is, in nats."""
        return self._engines().entropy()

    def margin(self, k: int = 2) -> float:
        """How far the best score is ahead of the `k`-th best."""
        return self._engines().margin(k)

    def _engines(self) -> Logits:
        if self._logits is None:
            raise AttributeError("only the engine's own logits answer this; read `to_numpy()`")
        return self._logits


class MaskedTensor(Tensor):
    """Logits of the engine of which some tokens are left; made when it is read.

    `mask` says which, as the engine takes it, so that nobody needs to read it.
    """

    def __init__(self, logits: Tensor, mask: bytes, mask_value: float) -> None:
        """Mask logits.

        Args:
            logits: The engine's.
            mask: Which tokens are left: bit `i % 8` of byte `i // 8`.
            mask_value: The score of the others, to whoever reads it.
        """
        super().__init__(logits=logits._logits)  # noqa: SLF001  # of its own class
        self._unmasked = logits
        self.mask = mask
        self._mask_value = mask_value

    def to_numpy(self) -> np.ndarray:
        """The scores."""
        if self._array is None:
            row = self._unmasked.to_numpy().copy()
            self._array = masked_array(row, self.mask, self._mask_value)
        return self._array


def masked_array(row: np.ndarray, mask: bytes, mask_value: float) -> np.ndarray:
    """An array whose tokens that a packed mask leaves out have another score."""
    bits = np.zeros(row.shape[-1], np.bool_)
    given = np.unpackbits(np.frombuffer(mask, np.uint8), bitorder="little")[: len(bits)]
    bits[: len(given)] = given
    row[..., ~bits] = mask_value
    return row


class Device:
    """Where a tensor is: of no consequence here."""

    def __init__(self, id: int = -1) -> None:  # noqa: A002  # as it was called
        """Name one."""
        self.id = id
        self.label = type(self).__name__.lower()
        self.is_host = True

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self)

    def __hash__(self) -> int:
        return hash(type(self))


class CPU(Device):
    """The host."""


class Accelerator(Device):
    """A GPU."""


class DType(enum.Enum):
    """Kinds of numbers, by their older names."""

    bool = "bool"
    int8 = "int8"
    int16 = "int16"
    int32 = "int32"
    int64 = "int64"
    uint8 = "uint8"
    uint16 = "uint16"
    uint32 = "uint32"
    uint64 = "uint64"
    float16 = "float16"
    float32 = "float32"
    float64 = "float64"

    def to_numpy(self) -> Any:
        """The same kind in numpy."""
        return np.dtype(self.value)


def _numpy_dtype(dtype: Any) -> Any:
    return dtype.to_numpy() if isinstance(dtype, DType) else dtype


def top_k_logprob(logits: Any, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The `k` best log-probabilities and their token ids, best first.  both (1, k)"""
    array = logits.to_numpy() if hasattr(logits, "to_numpy") else logits
    row = np.asarray(array, np.float64).reshape(-1)
    best = np.argsort(-row, kind="stable")[:k]
    peak = row.max()
    logprobs = row[best] - peak - np.log(np.exp(row - peak).sum())
    return logprobs[None], best[None]
