import msgspec
import pytest
from concordance_inference.traces.files import read_traces
from concordance_inference.traces.schema import Trace
from concordance_inference.traces.store import StoreError


def test_traces_of_a_file_are_read_and_a_wrong_line_is_named(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_bytes(msgspec.json.encode(Trace(id="a")) + b"\n\n")
    assert [trace.id for trace in read_traces(path)] == ["a"]

    path.write_bytes(path.read_bytes() + b"{}\n")
    with pytest.raises(StoreError, match=r"t\.jsonl, line 3: this is no trace"):
        read_traces(path)
