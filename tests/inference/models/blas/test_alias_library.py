"""Symbol aliases for functions of a shared library."""

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest
from concordance_inference.models.blas.alias_library import alias_library, load_aliases

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(sys.platform != "linux", reason="uses the linker of Linux"),
]

CALL = """
import ctypes
import sys
from pathlib import Path
from concordance_inference.models.blas.alias_library import load_aliases
names = {f"size_of_{i}": "strlen" for i in range(40)} | {"magnitude": "labs"}
load_aliases(Path(sys.argv[1]), names)
everything = ctypes.CDLL(None)
print(everything.size_of_0(b"four"), everything.size_of_39(b"sixsix"), everything.magnitude(-7))
"""


@pytest.fixture
def libc():
    """Path of the C library."""
    maps = Path("/proc/self/maps").read_text().splitlines()
    return next(Path(line.split()[-1]) for line in maps if "libc.so.6" in line)


def test_functions_are_resolved_under_their_aliases(libc):
    done = subprocess.run(
        [sys.executable, "-c", CALL, libc], capture_output=True, text=True, check=True
    )

    assert done.stdout == "4 6 7\n"


def test_an_alias_of_a_missing_function_is_an_error(libc):
    with pytest.raises(AttributeError, match="no_such_function"):
        load_aliases(libc, {"anything": "no_such_function"})


def test_a_file_that_is_not_a_library_is_an_error(tmp_path):
    file = tmp_path / "libnothing.so"
    file.write_bytes(b"nothing")

    with pytest.raises(OSError, match="libnothing"):
        load_aliases(file, {})


def test_aliases_with_a_common_suffix_have_their_own_addresses(libc, tmp_path):
    file = tmp_path / "libnames.so"
    file.write_bytes(alias_library(libc.read_bytes()[:20], {"one_two": 4096, "two": 8192}))

    names = ctypes.CDLL(str(file))

    addresses = [ctypes.cast(names[name], ctypes.c_void_p).value for name in ("one_two", "two")]
    assert addresses == [4096, 8192]
