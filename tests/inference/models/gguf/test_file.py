"""The GGUF container: damage is an error that names the file."""

import struct
from contextlib import suppress

import numpy as np
import pytest
from concordance_inference.models.gguf.file import GgufFile
from concordance_shared import ModelLoadError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


def test_metadata_and_tensors_are_read(files):
    file = GgufFile(files.write(keys={"general.name": "é", "some.flag": True, "some.list": [1, 2]}))

    assert file.metadata["general.name"] == "é"
    assert file.metadata["some.flag"] is True
    assert file.metadata["some.list"].tolist() == [1, 2]
    assert file.metadata["tokenizer.ggml.tokens"][-1] == "<|im_end|>"
    assert file.tensors["blk.1.attn_k.weight"].shape == (128, 256)
    assert file.blocks("output_norm.weight").shape == (256, 4)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"nonsense", "does not start with"),
        (b"GGUF", "ends at byte 4"),
        (struct.pack("<4sIQQ", b"GGUF", 1, 0, 0), "version is 1"),
        (struct.pack(">4sIQQ", b"GGUF", 3, 0, 0), "little-endian"),
        (struct.pack("<4sIQQ", b"GGUF", 3, 0, 2), "ends at byte"),
        (struct.pack("<4sIQQQ", b"GGUF", 3, 0, 1, 2**63), "ends at byte"),
        (struct.pack("<4sIQQQ1sI", b"GGUF", 3, 0, 1, 1, b"k", 77), "unknown type 77"),
        (struct.pack("<4sIQQQ1sIIQ", b"GGUF", 3, 0, 1, 1, b"k", 9, 9, 1), "unknown type 9"),
        (struct.pack("<4sIQQQ1sIIQ", b"GGUF", 3, 0, 1, 1, b"k", 9, 4, 2**62), "ends at byte"),
        (struct.pack("<4sIQQQ1s", b"GGUF", 3, 0, 1, 1, b"\xff"), "UTF-8"),
        (struct.pack("<4sIQQQ1sI", b"GGUF", 3, 1, 0, 1, b"t", 9), "9 dimensions"),
        (struct.pack("<4sIQQQ1sIQIQ", b"GGUF", 3, 1, 0, 1, b"t", 1, 0, 0, 0), "shape"),
        (struct.pack("<4sIQQQ1sIIQ", b"GGUF", 3, 1, 0, 1, b"t", 0, 0, 0) + bytes(64), "0 dimens"),
        (
            struct.pack("<4sIQQ", b"GGUF", 3, 2**40, 0) + bytes(999),
            "1099511627776 tensors; at most",
        ),
        (struct.pack("<4sIQQ", b"GGUF", 3, 0, 2**40) + bytes(999), "1099511627776 keys; at most"),
        (
            struct.pack("<4sIQQQ1sIIQ", b"GGUF", 3, 0, 1, 1, b"k", 9, 8, 2**40) + bytes(999),
            "1099511627776 texts in 'k'; at most",
        ),
        (
            struct.pack("<4sIQQQ1sIQIQ", b"GGUF", 3, 1, 0, 1, b"t", 1, 2, 0, 1) + bytes(99),
            "'t' is at offset 1, which is not a multiple of the alignment 32",
        ),
        (
            struct.pack("<4sIQQ", b"GGUF", 3, 2, 0)
            + struct.pack("<Q1sIQIQ", 1, b"t", 1, 2, 0, 0)
            + struct.pack("<Q1sIQIQ", 1, b"u", 1, 2, 0, 0)
            + bytes(99),
            "tensors 't' and 'u' overlap",
        ),
        (struct.pack("<4sIQQQ1sIQIQ", b"GGUF", 3, 1, 0, 1, b"t", 1, 33, 2, 0), "Q4_0"),
        (struct.pack("<4sIQQQ1sIQIQ", b"GGUF", 3, 1, 0, 1, b"t", 1, 1, 999, 0), "unknown type"),
        (struct.pack("<4sIQQQ1sIQIQ", b"GGUF", 3, 1, 0, 1, b"t", 1, 1, 0, 2**62), "incomplete"),
    ],
)
def test_a_damaged_gguf_file_is_rejected(tmp_path, content, message):
    (tmp_path / "a.gguf").write_bytes(content)

    with pytest.raises(ModelLoadError, match=rf"a\.gguf cannot be read as a GGUF file.*{message}"):
        GgufFile(tmp_path / "a.gguf")


def test_an_incomplete_download_is_rejected(files):
    path = files.write()
    path.write_bytes(path.read_bytes()[:-1000])

    with pytest.raises(ModelLoadError, match="download may be incomplete"):
        GgufFile(path)


def test_a_missing_gguf_file_is_rejected(tmp_path):
    with pytest.raises(ModelLoadError, match="No such file"):
        GgufFile(tmp_path / "a.gguf")


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(position=st.integers(0, 20_000), value=st.integers(0, 255), cut=st.booleans())
def test_any_damage_of_a_gguf_header_is_rejected_or_harmless(
    tmp_path, header, position, value, cut
):
    changed = bytearray(header)
    position %= len(changed)
    changed[position] = value
    (tmp_path / "a.gguf").write_bytes(changed[:position] if cut else changed)

    with suppress(ModelLoadError):
        file = GgufFile(tmp_path / "a.gguf")
        for name in file.tensors:
            file.blocks(name).sum()


@pytest.fixture(name="header")
def _header(files):
    keys = {"tokenizer.ggml.tokens": ["a", "b"], "tokenizer.ggml.merges": ["a b"]}
    return files.write(keys=keys, tensors={"small": np.zeros((2, 2), np.float32)}).read_bytes()[
        :20_000
    ] + bytes(4_000_000)
