"""Gives functions of a loaded library other names, for libraries that ask for them by those.

The dynamic linker finds a function by its name alone. To make it find one under another name, a
library is written in memory that has nothing but a table of names, each with the address at which
the function already stands in this process (an absolute symbol: glibc 2.28 and newer take it as
it is). It holds no code, so the same bytes serve every architecture. The layout is that of ELF
for 64 bits: https://refspecs.linuxfoundation.org/elf/gabi4+/contents.html.
"""

import ctypes
import os
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

_SYMBOL = struct.Struct("<IBBHQQ")  # name, info, other, section, value, size
_SEGMENT = struct.Struct("<IIQQQQQQ")  # type, flags, offset, two addresses, two sizes, alignment
_ENTRY = struct.Struct("<QQ")  # what, value
_HEADER = struct.Struct("<20sIQQQIHHHHHH")

_GLOBAL_FUNCTION, _ABSOLUTE = 0x12, 0xFFF1
_LOAD, _DYNAMIC, _STACK = 1, 2, 0x6474E551
_READ_WRITE, _PAGE = 6, 0x10000
_HASH, _STRINGS, _SYMBOLS, _STRINGS_SIZE, _SYMBOL_SIZE, _NULL = 4, 5, 6, 10, 11, 0


def load_aliases(library: Path, names: Mapping[str, str]) -> ctypes.CDLL:
    """Load a library, and let every library that is loaded later find its functions by new names.

    Args:
        library: A shared library for Linux, little-endian and of 64 bits.
        names: The functions' own names, by the new ones.

    Returns:
        The library.

    Raises:
        OSError: It cannot be loaded.
        AttributeError: It has no function of such a name.
    """
    loaded = ctypes.CDLL(str(library))
    addresses = {new: _address(loaded[name]) for new, name in names.items()}
    with library.open("rb") as file:
        kind = file.read(20)  # what every library for this machine begins with
    with os.fdopen(os.memfd_create("aliases"), "wb") as file:
        file.write(alias_library(kind, addresses))
        file.flush()
        ctypes.CDLL(f"/proc/self/fd/{file.fileno()}", mode=ctypes.RTLD_GLOBAL)
    return loaded


def _address(function: object) -> int:
    address = ctypes.cast(function, ctypes.c_void_p).value  # type: ignore[arg-type]
    assert address
    return address


def alias_library(kind: bytes, addresses: Mapping[str, int]) -> bytes:
    """The bytes of a library without code, in which each name stands for an address.

    Args:
        kind: The first 20 bytes of another library for the same machine.
        addresses: Where the functions are in this process, by name.
    """
    strings = b"\0" + b"".join(name.encode() + b"\0" for name in addresses)
    parts = [_symbols(strings, addresses), _hash(len(addresses)), _padded(strings)]
    header_size = _HEADER.size + 3 * _SEGMENT.size
    symbols, hashes, strings_at, dynamic = _offsets(header_size, parts)
    entries = {
        _HASH: hashes,
        _STRINGS: strings_at,
        _SYMBOLS: symbols,
        _STRINGS_SIZE: len(strings),
        _SYMBOL_SIZE: _SYMBOL.size,
        _NULL: 0,
    }
    parts.append(b"".join(_ENTRY.pack(*entry) for entry in entries.items()))
    size = header_size + sum(map(len, parts))
    segments = [
        _segment(_LOAD, 0, size, _PAGE),
        _segment(_DYNAMIC, dynamic, size - dynamic, 8),
        _segment(_STACK, 0, 0, 16),  # left out, it would ask for a stack that can be executed
    ]
    return b"".join([_header(kind, len(segments)), *segments, *parts])


def _header(kind: bytes, num_segments: int) -> bytes:
    sizes = (_HEADER.size, _SEGMENT.size, num_segments, 0, 0, 0)
    return _HEADER.pack(kind, 1, 0, _HEADER.size, 0, 0, *sizes)


def _segment(what: int, offset: int, size: int, alignment: int) -> bytes:
    return _SEGMENT.pack(what, _READ_WRITE, offset, offset, offset, size, size, alignment)


def _symbols(strings: bytes, addresses: Mapping[str, int]) -> bytes:
    """The table of names; its first entry is empty."""
    packed = bytes(_SYMBOL.size)
    for name, address in addresses.items():
        at = strings.index(b"\0" + name.encode() + b"\0") + 1
        packed += _SYMBOL.pack(at, _GLOBAL_FUNCTION, 0, _ABSOLUTE, address, 0)
    return packed


def _hash(num_names: int) -> bytes:
    """A hash table of one bucket: the linker goes through all names, one after the other."""
    chain = [0, *range(2, num_names + 1), 0]
    return _padded(struct.pack(f"<{3 + len(chain)}I", 1, len(chain), 1, *chain))


def _padded(part: bytes) -> bytes:
    return part + bytes(-len(part) % 8)


def _offsets(start: int, parts: Sequence[bytes]) -> list[int]:
    """Where each part begins, and where the last one ends."""
    offsets = [start]
    for part in parts:
        offsets.append(offsets[-1] + len(part))
    return offsets
