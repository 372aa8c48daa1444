"""Unloading models that no request uses, from a thread."""

import threading

import pytest
from concordance_inference.pool.idle import unloading_idle


class Pool:
    """A pool that notes when it is asked to unload idle models."""

    def __init__(self):
        self.asked = []
        self.was_asked = threading.Event()

    def unload_idle(self, idle_s):
        self.asked.append(idle_s)
        self.was_asked.set()


def watchers():
    return [thread for thread in threading.enumerate() if thread.name == "idle models"]


def test_idle_models_are_unloaded_while_the_block_runs_and_not_after_it():
    pool = Pool()
    with unloading_idle(pool, 1.0):
        assert pool.was_asked.wait(60)

    assert set(pool.asked) == {1.0}
    assert not watchers()


def test_without_a_time_there_is_no_thread():
    pool = Pool()
    with unloading_idle(pool, None):
        assert not watchers()
    assert not pool.asked


def test_the_thread_ends_with_a_block_that_raises():
    def fail():
        with unloading_idle(Pool(), 1e9):
            assert len(watchers()) == 1
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert not watchers()
