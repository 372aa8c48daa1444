"""No field keeps the engine's thread, the event loop or the interpreter's lock for long."""

import pytest
from request_gaps import FIRST, HARD, Gaps, cases, measure, server
from tiny_folder import write_tiny_folder

#: Seconds that another stream may wait between two tokens.
LIMIT_S = 0.25


@pytest.mark.slow
def test_no_field_keeps_other_streams_from_their_tokens(tmp_path):
    every = list(cases())
    chosen = [*every[:: max(1, len(every) // 25)], *every[-2 * len(HARD) :: 5]]
    gaps = Gaps()
    with gaps.measured(), server(str(write_tiny_folder(tmp_path / "m"))) as address:
        rows = list(measure(address, gaps, [FIRST, *chosen]))[1:]
    assert all(200 <= status < 500 for _, status, *_ in rows), rows
    assert [row for row in rows if max(row[2:5]) > LIMIT_S] == []
