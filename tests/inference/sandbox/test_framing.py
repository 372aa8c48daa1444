"""The layout of the memory that engine and worker share."""

import pytest
from concordance_inference.sandbox.protocol.framing import (
    HEADER,
    IN_MEMORY,
    MAX_INLINE,
    MAX_REPLY,
    Layout,
)


@pytest.mark.parametrize("width", [0, 1, 257, 201_088])
def test_parts_of_the_memory_follow_each_other_without_overlap(width):
    layout = Layout(width, to_worker=1000, to_engine=500)
    parts = [
        (0, layout.row_bytes),  # the row to the worker
        (layout.out_row(0), layout.row_bytes),
        (layout.out_row(1), layout.row_bytes),
        (layout.in_body, 1000),
        (layout.out_body, 500),
    ]

    end = 0
    for begin, size in parts:
        assert begin == end
        end = begin + size
    assert layout.size == end
    assert layout.row_bytes == 4 * width


def test_a_length_on_the_stream_is_never_taken_for_one_in_memory():
    layout = Layout(201_088)

    longest = max(MAX_INLINE, MAX_REPLY, layout.to_worker, layout.to_engine)
    assert longest < IN_MEMORY
    assert HEADER.unpack(HEADER.pack(longest | IN_MEMORY)) == (longest | IN_MEMORY,)
