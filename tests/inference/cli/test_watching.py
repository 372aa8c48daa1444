"""Waits for files to change, without a clock of its own."""

import os

import pytest
from concordance_inference.cli.watching import changes


class Script:
    """A `sleep` that does something to the files at each call, then fails the test."""

    def __init__(self, *steps):
        self.steps = list(steps)

    def __call__(self, seconds):
        assert self.steps, "waits although nothing will change"
        self.steps.pop(0)()


def touch(path, text):
    path.write_text(text)
    os.utime(path, ns=(len(text), len(text)))


@pytest.fixture(name="file")
def _file(tmp_path):
    touch(tmp_path / "my.py", "a")
    return tmp_path / "my.py"


def test_first_run_does_not_wait(file):
    next(changes(file, sleep=Script()))


def test_change_is_seen_once_it_is_complete(file):
    sleep = Script(
        lambda: None,
        lambda: touch(file, "ab"),
        lambda: touch(file, "abc"),  # the editor still writes
        lambda: None,
    )
    watched = changes(file, sleep=sleep)
    next(watched)
    next(watched)

    assert sleep.steps == []


def test_change_during_a_run_is_seen(file):
    watched = changes(file, sleep=Script(lambda: None))
    next(watched)
    touch(file, "ab")

    next(watched)


def test_removed_and_new_files_are_changes(file):
    other = file.parent / "other.py"
    steps = [lambda: touch(other, "xy"), lambda: None, file.unlink, lambda: None]
    watched = changes(file.parent, sleep=Script(*steps))
    for _ in range(3):
        next(watched)


def test_other_files_of_the_folder_are_no_change(file):
    done = AssertionError("still waiting")

    def end():
        raise done

    steps = [lambda: touch(file.parent / "notes.txt", "n"), lambda: None, end]
    watched = changes(file, sleep=Script(*steps))
    next(watched)

    with pytest.raises(AssertionError, match="still waiting"):
        next(watched)
