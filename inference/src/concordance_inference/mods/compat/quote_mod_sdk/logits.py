"""The logits of `quote_mod_sdk`: a `Tensor` around a numpy array of shape (1, vocab).

Mods index the array as `row[0, id]`, its real shape, and as `row[id]`; both are supported.
"""

import enum
from collections.abc import Iterator, Sequence
from typing import Any, Self, cast

import numpy as np
from concordance_shared import Logits


class OlderRow(np.ndarray):
    """A row of logits, (1, vocab), in which `[id]` is short for `[0, id]`.

    `[0]` and `[-1]` are the row, as in any two-dimensional array. Any other number is a token id,
    and so are lists of numbers, and masks of the row's length. Parts and copies of it are plain
    arrays.
    """

    def __array_finalize__(self, made_of: Any) -> None:
        """Accept any array to view; required of subclasses of `ndarray`."""

    def __getitem__(self, key: Any) -> Any:
        """Index as numpy does; `[id]` is `[0, id]`."""
        found = super().__getitem__(_two_dimensional(self, key))
        is_row = isinstance(found, OlderRow) and found.ndim == 1
        return found.view(np.ndarray) if is_row else found

    def __setitem__(self, key: Any, value: Any) -> None:
        """Assign as numpy does; `[id]` is `[0, id]`."""
        super().__setitem__(_two_dimensional(self, key), value)

    def __iter__(self) -> Iterator[Any]:
        """Iterate over rows, as numpy does."""
        return iter([super(OlderRow, self).__getitem__(i) for i in range(len(self))])

    def to_numpy(self) -> Self:
        """Return the array itself; mods call this on tensors and on arrays."""
        return self


def _two_dimensional(row: np.ndarray, key: Any) -> Any:
    """Translate `[id]` to `[0, id]`; return any other index unchanged."""
    if row.ndim != 2 or row.shape[0] != 1 or isinstance(key, tuple):
        return key
    return (0, key) if _names_tokens(key, row.shape[1]) else key


def _names_tokens(key: Any, vocab: int) -> bool:
    """True if an index refers to tokens, because it cannot refer to the only row."""
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
    """True if a slice refers to tokens: it would contain no row."""
    return not range(1)[key] and bool(range(vocab)[key])


class _ArrayProtocol(np.lib.mixins.NDArrayOperatorsMixin):
    """Operators, indexing and numpy functions, for a class with `to_numpy` and `shape`."""

    shape: tuple[int, ...]

    def to_numpy(self) -> np.ndarray:
        """Return the array."""
        raise NotImplementedError

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        """Index the array; a part with dimensions is a tensor too."""
        found: Any = self.to_numpy()[key]
        return Tensor(found) if np.ndim(found) else found

    def __setitem__(self, key: Any, value: Any) -> None:
        """Assign to the array."""
        self.to_numpy()[key] = _unwrapped(value)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:  # noqa: FBT001
        """Support `numpy.asarray(event.logits)`."""
        array = self.to_numpy() if dtype is None else self.to_numpy().astype(dtype)
        return array.copy() if copy else array

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        """Apply operators and numpy functions to the array; the results are arrays."""
        if out := options.get("out"):
            options["out"] = tuple(map(_unwrapped, out))
        return getattr(ufunc, method)(*map(_unwrapped, inputs), **options)


def _unwrapped(value: Any) -> Any:
    return value.to_numpy() if isinstance(value, Tensor) else value


class _EngineLogits:
    """Methods of the SDK's logits, which do not copy the row from the device."""

    _logits: Logits | None

    def top_k(self, k: int) -> list[tuple[int, float]]:
        """Return the top `k` `(token_id, logit)` pairs, in descending order."""
        return self._of_engine().top_k(k)

    def logprob(self, token_id: int) -> float:
        """Return the log-probability of one token, in nats."""
        return self._of_engine().logprob(token_id)

    def logprobs(self, token_ids: Sequence[int]) -> list[float]:
        """Return the log-probabilities of several tokens, in nats."""
        return self._of_engine().logprobs(token_ids)

    def entropy(self) -> float:
        """Return the entropy of the distribution, in nats."""
        return self._of_engine().entropy()

    def margin(self, k: int = 2) -> float:
        """Return the difference between the highest and the `k`-th highest logit."""
        return self._of_engine().margin(k)

    def _of_engine(self) -> Logits:
        if self._logits is None:
            raise AttributeError("only the engine's own logits have this; use `to_numpy()`")
        return self._logits


class Tensor(_ArrayProtocol, _EngineLogits):
    """An array, in the class in which the older engine passed logits; see `to_numpy`.

    The engine's logits are copied from the device when the array is first needed.
    """

    def __init__(self, array: Any = None, *, logits: Logits | None = None) -> None:
        """Wrap an array, or logits of the engine.

        Args:
            array: A numpy array, or anything that `numpy.asarray` accepts.
            logits: The engine's logits.
        """
        self._array: Any = array
        self._logits = logits
        self.device: Any = CPU()

    @classmethod
    def of_engine(cls, logits: Logits) -> Self:
        """Wrap the logits of one position.  (1, vocab) float32"""
        return cls(logits=logits)

    @classmethod
    def from_numpy(cls, array: Any) -> Self:
        """Wrap an array."""
        return cls(array)

    @classmethod
    def from_dlpack(cls, array: Any) -> Self:
        """Wrap an array of another library."""
        return cls(array if isinstance(array, np.ndarray) else np.from_dlpack(array))

    @classmethod
    def zeros(cls, shape: Sequence[int], dtype: Any = np.float32, device: Any = None) -> Self:
        """Create a tensor of zeros."""
        del device
        return cls(np.zeros(tuple(shape), _numpy_dtype(dtype)))

    @property
    def is_untouched(self) -> bool:
        """True for logits of the engine that were never read, and so cannot have changed."""
        return self._logits is not None and self._array is None

    def to_numpy(self) -> np.ndarray:
        """Return the array; changes to it take effect when the tensor is returned to the engine."""
        if self._array is None and self._logits is not None:
            row = np.asarray(self._logits.to_numpy(), np.float32)
            self._array = row.reshape(1, -1).view(OlderRow)
        if not isinstance(self._array, np.ndarray):
            self._array = np.asarray(self._array)
        return self._array

    def to(self, device: Any = None, *_: Any, **__: Any) -> Self:
        """Return the tensor itself: the engine accepts it on any device."""
        del device
        return self

    cpu = cuda = contiguous = to

    def copy(self, device: Any = None, stream: Any = None) -> "Tensor":
        """Return a copy."""
        del device, stream
        return Tensor(self.to_numpy().copy())

    clone = copy

    def inplace_copy_from(self, other: Any) -> None:
        """Copy the values of another tensor or array into this one."""
        self.to_numpy()[...] = _unwrapped(other)

    def copy_(self, other: Any) -> Self:
        """Copy the values of another tensor or array into this one; return this one."""
        self.inplace_copy_from(other)
        return self

    def item(self) -> Any:
        """Return the only element."""
        return self.to_numpy().item()

    def tolist(self) -> Any:
        """Return the elements as nested lists."""
        return self.to_numpy().tolist()

    @property
    def shape(self) -> tuple[int, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The shape of the array: `(1, vocab)` for logits."""
        if self._logits is not None and self._array is None:
            return (1, len(self._logits))
        return tuple(np.shape(self._array))

    @property
    def rank(self) -> int:
        """The number of dimensions."""
        return len(self.shape)

    ndim = rank

    @property
    def num_elements(self) -> int:
        """The number of elements."""
        return int(np.prod(self.shape))

    @property
    def dtype(self) -> Any:
        """The numpy type of the elements."""
        return np.dtype(np.float32) if self.is_untouched else self.to_numpy().dtype

    @property
    def is_host(self) -> bool:
        """True, since numpy can always read it."""
        return True


class MaskedTensor(Tensor):
    """Logits of the engine with a mask, which is applied when the array is first needed.

    The engine uses `mask` directly, so usually no one needs the array.
    """

    def __init__(self, logits: Tensor, mask: bytes, mask_value: float) -> None:
        """Mask logits.

        Args:
            logits: The engine's logits.
            mask: The allowed tokens: bit `i % 8` of byte `i // 8`.
            mask_value: The logit of all other tokens in the array.
        """
        super().__init__(logits=logits._logits)  # noqa: SLF001  # its own class
        self._unmasked = logits
        self.mask = mask
        self._mask_value = mask_value

    def to_numpy(self) -> np.ndarray:
        """Return the masked logits."""
        if self._array is None:
            row = self._unmasked.to_numpy().copy()
            self._array = masked_array(row, self.mask, self._mask_value)
        return self._array


def masked_array(row: np.ndarray, mask: bytes, mask_value: float) -> np.ndarray:
    """Set the logits of all tokens outside a packed mask, in place."""
    bits = np.zeros(row.shape[-1], np.bool_)
    given = np.unpackbits(np.frombuffer(mask, np.uint8), bitorder="little")[: len(bits)]
    bits[: len(given)] = given
    row[..., ~bits] = mask_value
    return row


class Device:
    """A tensor's device, which has no effect."""

    def __init__(self, id: int = -1) -> None:  # noqa: A002  # the name in `max.driver`
        """Create a device."""
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
    """Element types, by their names in `max.dtype`."""

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
        """Return the numpy type."""
        return np.dtype(self.value)


def _numpy_dtype(dtype: Any) -> Any:
    return dtype.to_numpy() if isinstance(dtype, DType) else dtype


def top_k_logprob(logits: Any, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the top `k` logprobs and their token ids, in descending order.  both (1, k)"""
    array = logits.to_numpy() if hasattr(logits, "to_numpy") else logits
    row = np.asarray(array, np.float64).reshape(-1)
    best = np.argsort(-row, kind="stable")[:k]
    peak = row.max()
    logprobs = row[best] - peak - np.log(np.exp(row - peak).sum())
    return logprobs[None], best[None]
