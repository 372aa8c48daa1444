"""Makes functions of a loaded shared library available under other symbol names.

The dynamic linker resolves a function by its symbol name. To make it resolve another name, this
module writes an ELF library in memory that contains only a symbol table. Each symbol is absolute:
its value is the address of a function that is already loaded in this process (glibc 2.28 and newer
use the value as is). The library contains no code, so the same layout works on every
architecture. Format, 64-bit ELF: https://refspecs.linuxfoundation.org/elf/gabi4+/contents.html.
"""

import ctypes
import os
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

_SYMBOL = struct.Struct("<IBBHQQ")  # name, info, other, section, value, size
_SEGMENT = struct.Struct("<IIQQQQQQ")  # type, flags, offset, two addresses, two sizes, alignment
_ENTRY = struct.Struct("<QQ")  # tag, value
_HEADER = struct.Struct("<20sIQQQIHHHHHH")

_GLOBAL_FUNCTION, _ABSOLUTE = 0x12, 0xFFF1
_LOAD, _DYNAMIC, _STACK = 1, 2, 0x6474E551
_READ_WRITE, _PAGE = 6, 0x10000
_HASH, _STRINGS, _SYMBOLS, _STRINGS_SIZE, _SYMBOL_SIZE, _NULL = 4, 5, 6, 10, 11, 0


def load_aliases(library: Path, names: Mapping[str, str]) -> ctypes.CDLL:
    """Load a library and define aliases of its functions for all libraries loaded later.

    Args:
        library: A shared library for Linux, 64-bit and little-endian.
        names: Alias -> the function's name in the library.

    Returns:
        The library.

    Raises:
        OSError: It cannot be loaded.
        AttributeError: It has no function of that name.
    """
    loaded = ctypes.CDLL(str(library))
    addresses = {new: _address(loaded[name]) for new, name in names.items()}
    with library.open("rb") as file:
        ident = file.read(20)  # ELF identification, type and machine: the same for every library
    with os.fdopen(os.memfd_create("aliases"), "wb") as file:
        file.write(alias_library(ident, addresses))
        file.flush()
        ctypes.CDLL(f"/proc/self/fd/{file.fileno()}", mode=ctypes.RTLD_GLOBAL)
    return loaded


def _address(function: object) -> int:
    address = ctypes.cast(function, ctypes.c_void_p).value  # type: ignore[arg-type]
    assert address
    return address


def alias_library(ident: bytes, addresses: Mapping[str, int]) -> bytes:
    """Return the bytes of an ELF library that contains only a symbol table.

    Args:
        ident: The first 20 bytes of another library for the same machine.
        addresses: Symbol name -> the function's address in this process.
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
        _segment(_STACK, 0, 0, 16),  # without it, the loader assumes an executable stack
    ]
    return b"".join([_header(ident, len(segments)), *segments, *parts])


def _header(ident: bytes, num_segments: int) -> bytes:
    sizes = (_HEADER.size, _SEGMENT.size, num_segments, 0, 0, 0)
    return _HEADER.pack(ident, 1, 0, _HEADER.size, 0, 0, *sizes)


def _segment(kind: int, offset: int, size: int, alignment: int) -> bytes:
    return _SEGMENT.pack(kind, _READ_WRITE, offset, offset, offset, size, size, alignment)


def _symbols(strings: bytes, addresses: Mapping[str, int]) -> bytes:
    """Return the symbol table; ELF requires an empty first entry."""
    packed = bytes(_SYMBOL.size)
    for name, address in addresses.items():
        at = strings.index(b"\0" + name.encode() + b"\0") + 1
        packed += _SYMBOL.pack(at, _GLOBAL_FUNCTION, 0, _ABSOLUTE, address, 0)
    return packed


def _hash(num_names: int) -> bytes:
    """Return a hash table of one bucket: the linker then scans all symbols in order."""
    chain = [0, *range(2, num_names + 1), 0]
    return _padded(struct.pack(f"<{3 + len(chain)}I", 1, len(chain), 1, *chain))


def _padded(part: bytes) -> bytes:
    return part + bytes(-len(part) % 8)


def _offsets(start: int, parts: Sequence[bytes]) -> list[int]:
    """Return each part's start offset, and the end of the last part."""
    offsets = [start]
    for part in parts:
        offsets.append(offsets[-1] + len(part))
    return offsets
