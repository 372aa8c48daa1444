import os
import resource
import time

import pytest
from concordance_inference.sandbox.readiness import is_readable


@pytest.fixture(name="pipe")
def _pipe():
    """A pipe whose end to read has a number above those of `select.select`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2048:
        pytest.skip("this process may not have 2048 descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048), hard))
    reads, writes = os.pipe()
    os.dup2(reads, 1500)
    yield 1500, writes
    for fd in (1500, reads, writes):
        os.close(fd)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_descriptor_above_1023_is_waited_for(pipe):
    reads, writes = pipe
    start = time.monotonic()
    assert not is_readable(reads, 0.01)
    assert time.monotonic() - start >= 0.01
    os.write(writes, b"x")
    assert is_readable(reads, 60)
