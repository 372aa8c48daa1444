"""Reads the GGUF container: metadata, and the offset of each tensor's bytes.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Every length in the file is
checked against the file's size before use, so a damaged file is rejected and never read past its
end.
"""

import math
import mmap
import struct
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
from concordance_shared import ModelLoadError
from msgspec import Struct

from concordance_inference.models.gguf.blocks import BlockType, block_type

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_ALIGNMENT = 32
_MAX_DIMENSIONS = 4

#: More than any model has. A damaged count would allocate many times the size of the file.
_MAX_TENSORS = _MAX_KEYS = 1 << 16
_MAX_TEXTS = 1 << 22

#: Numeric value types of metadata: type number -> numpy dtype.
_NUMBERS = {
    0: np.dtype("<u1"),
    1: np.dtype("<i1"),
    2: np.dtype("<u2"),
    3: np.dtype("<i2"),
    4: np.dtype("<u4"),
    5: np.dtype("<i4"),
    6: np.dtype("<f4"),
    7: np.dtype("?"),
    10: np.dtype("<u8"),
    11: np.dtype("<i8"),
    12: np.dtype("<f8"),
}
_STRING, _ARRAY = 8, 9


class Tensor(Struct, frozen=True):
    """Shape, type and location of a tensor in the file."""

    name: str
    shape: tuple[int, ...]  # the innermost dimension last
    type: BlockType
    start: int  # in bytes from the start of the file

    @property
    def size(self) -> int:
        """Element count."""
        return math.prod(self.shape)

    @property
    def num_bytes(self) -> int:
        """Size in the file, in bytes."""
        return self.size // self.type.num_elements * self.type.num_bytes


def is_value(found: Any, expected: object) -> bool:
    """True if a metadata value equals a scalar, or is an array in which every element does."""
    if isinstance(found, np.ndarray):
        found = found.tolist()
    if isinstance(found, list):
        values = cast(list[object], found)
        return bool(values) and all(value == expected for value in values)
    return bool(found == expected)


class GgufFile:
    """Metadata and tensors of a GGUF file, memory-mapped."""

    def __init__(self, path: Path) -> None:
        """Read the metadata and the list of tensors.

        Args:
            path: The file.

        Raises:
            ModelLoadError: It cannot be read, is damaged, or has an unsupported version.
        """
        self.path = path
        self.metadata: dict[str, Any] = {}
        self.tensors: dict[str, Tensor] = {}
        try:
            with path.open("rb") as file:
                self._bytes: mmap.mmap = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as exc:  # an empty file cannot be mapped: ValueError
            raise self.error(str(exc)) from exc
        self._at = 0
        self._read_header()

    def error(self, what: str) -> ModelLoadError:
        """Return an error that names the file."""
        return ModelLoadError(f"{self.path} cannot be read as a GGUF file: {what}")

    def blocks(self, name: str) -> np.ndarray:
        """Return a tensor's bytes, one row per block.  (blocks, bytes per block) uint8"""
        tensor = self.tensors[name]
        data = np.frombuffer(self._bytes, np.uint8, tensor.num_bytes, tensor.start)
        return data.reshape(-1, tensor.type.num_bytes)

    def _read_header(self) -> None:
        if self._take(4) != _MAGIC:
            raise self.error("it does not start with the letters GGUF")
        version = self._number("<I")
        if version not in _VERSIONS:
            raise self.error(
                f"its version is {version}; versions 2 and 3, little-endian, are supported"
            )
        num_tensors = self._count("tensors", _MAX_TENSORS)
        for _ in range(self._count("keys", _MAX_KEYS)):
            self._read_key()
        self._place([self._tensor() for _ in range(num_tensors)])

    def _count(self, what: str, most: int) -> int:
        count = self._number("<Q")
        if count > most:
            raise self.error(f"it declares {count} {what}; at most {most} are supported")
        return count

    def _read_key(self) -> None:
        key = self._string()
        if key in self.metadata:
            raise self.error(f"it has the key {key!r:.80} twice")
        # Invalid UTF-8 is harmless in descriptions, but not in token names.
        strict = not key.startswith("general.")
        self.metadata[key] = self._value(self._number("<I"), key, strict=strict)

    def _value(self, kind: int, key: str, *, strict: bool) -> Any:
        if kind == _STRING:
            return self._string(strict=strict)
        if kind == _ARRAY:
            return self._array(self._number("<I"), key, strict=strict)
        return self._numbers(kind, 1, key)[0].item()

    def _array(self, kind: int, key: str, *, strict: bool) -> Any:
        if kind == _STRING:
            length = self._count(f"texts in {key!r:.80}", _MAX_TEXTS)
            return [self._string(strict=strict) for _ in range(length)]
        return self._numbers(kind, self._number("<Q"), key)

    def _numbers(self, kind: int, length: int, key: str) -> np.ndarray:
        if kind not in _NUMBERS:
            raise self.error(f"the value of {key!r:.80} has the unknown type {kind}")
        dtype = _NUMBERS[kind]
        return np.frombuffer(self._take(length * dtype.itemsize), dtype)

    def _tensor(self) -> tuple[str, tuple[int, ...], BlockType, int]:
        """Read the next tensor's name, shape, type, and offset in the data section."""
        name = self._string()
        num_dimensions = self._number("<I")
        if not 1 <= num_dimensions <= _MAX_DIMENSIONS:
            raise self.error(
                f"tensor {name!r:.80} has {num_dimensions} dimensions; 1 to {_MAX_DIMENSIONS} are "
                "supported"
            )
        shape = tuple(self._number("<Q") for _ in range(num_dimensions))
        kind = block_type(self._number("<I"))
        if kind is None:
            raise self.error(f"tensor {name!r:.80} has an unknown type")
        return name, shape[::-1], kind, self._number("<Q")

    def _place(self, found: list[tuple[str, tuple[int, ...], BlockType, int]]) -> None:
        """Fill `tensors`; offsets are relative to the first aligned byte after the header."""
        alignment = self._alignment()
        start = -(-self._at // alignment) * alignment
        for name, shape, kind, offset in found:
            if offset % alignment:
                raise self.error(
                    f"tensor {name!r:.80} is at offset {offset}, which is not a multiple of the "
                    f"alignment {alignment}"
                )
            tensor = Tensor(name, shape, kind, start + offset)
            self._check(tensor)
            self.tensors[name] = tensor
        self._check_apart()

    def _alignment(self) -> int:
        found = self.metadata.get("general.alignment", _ALIGNMENT)
        if type(found) is not int or found < 1 or found & (found - 1):
            raise self.error(f"general.alignment is {found!r:.80}; it must be a power of two")
        return found

    def _check_apart(self) -> None:
        """Reject tensors that overlap."""
        placed = sorted(self.tensors.values(), key=lambda tensor: tensor.start)
        for tensor, following in pairwise(placed):
            if tensor.start + tensor.num_bytes > following.start:
                raise self.error(f"tensors {tensor.name!r:.80} and {following.name!r:.80} overlap")

    def _check(self, tensor: Tensor) -> None:
        if tensor.name in self.tensors:
            raise self.error(f"it has the tensor {tensor.name!r:.80} twice")
        if not tensor.size or tensor.shape[-1] % tensor.type.num_elements:
            raise self.error(
                f"tensor {tensor.name!r:.80} has the shape {tensor.shape}, which does not "
                f"divide into blocks of {tensor.type.num_elements} ({tensor.type.name})"
            )
        end = tensor.start + tensor.num_bytes
        if end > len(self._bytes):
            raise self.error(
                f"tensor {tensor.name!r:.80} ends at byte {end}, and the file has "
                f"{len(self._bytes)}; the download may be incomplete"
            )

    def _take(self, count: int) -> bytes:
        end = self._at + count
        if end > len(self._bytes):
            raise self.error(f"it ends at byte {len(self._bytes)}, in the middle of its header")
        taken = self._bytes[self._at : end]
        self._at = end
        return taken

    def _number(self, layout: str) -> int:
        return struct.unpack(layout, self._take(struct.calcsize(layout)))[0]

    def _string(self, *, strict: bool = True) -> str:
        raw = self._take(self._number("<Q"))
        try:
            return raw.decode("utf-8", "strict" if strict else "replace")
        except UnicodeDecodeError as exc:
            raise self.error(f"the text {raw[:40]!r} is not UTF-8") from exc
