"""Functions that are given a limited time."""

import threading
import time
from contextvars import ContextVar
from types import SimpleNamespace

import pytest
from concordance_inference import time_limit
from concordance_inference.time_limit import TimeLimitError, run_watched, run_within

variable = ContextVar("variable", default=0)


def threads():
    return [t for t in threading.enumerate() if t.name == "time-limited"]


def test_the_functions_result_or_exception_is_passed_on():
    assert run_within(5, lambda: 3) == 3
    with pytest.raises(KeyError):
        run_within(5, lambda: {}["x"])
    with pytest.raises(SystemExit):
        run_within(5, exit)


def test_the_function_runs_in_a_copy_of_the_callers_context():
    variable.set(7)

    assert run_within(5, variable.get) == 7
    run_within(5, lambda: variable.set(8))
    assert variable.get() == 7


def _for_ever():
    while True:
        try:
            while True:
                pass
        except Exception:
            continue


@pytest.mark.parametrize("function", [_for_ever, lambda: [None for _ in iter(int, 1)]])
def test_a_function_that_never_ends_is_interrupted(function):
    with pytest.raises(TimeLimitError, match=r"0\.1 s"):
        run_within(0.1, function)
    assert not threads()


def test_a_function_that_cannot_be_interrupted_is_abandoned():
    with pytest.raises(TimeLimitError):
        run_within(0.05, lambda: time.sleep(1.5))
    for thread in threads():
        thread.join(60)
    assert not threads()


def test_repeated_interrupts_print_no_traceback(capsys):
    def give_up_slowly():
        while True:
            try:
                while True:
                    pass
            except BaseException:
                end = time.monotonic() + 0.12  # interrupted again meanwhile
                while time.monotonic() < end:
                    pass
                raise

    for _ in range(3):
        with pytest.raises(TimeLimitError):
            run_within(0.05, give_up_slowly)
    for thread in threading.enumerate():
        if thread.name == "time-limited":
            thread.join(10)

    assert "Traceback" not in capsys.readouterr().err


def test_a_thread_does_not_end_while_it_is_interrupted(monkeypatch):
    """Its id would be that of a thread which starts meanwhile, and which would be interrupted."""
    may_end, were_alive = threading.Event(), []

    def send(ident, error):
        may_end.set()
        (thread,) = threads()
        thread.join(0.3)
        were_alive.append(thread.is_alive())

    api = SimpleNamespace(PyThreadState_SetAsyncExc=send)
    monkeypatch.setattr(time_limit.ctypes, "pythonapi", api)
    with pytest.raises(TimeLimitError):
        run_within(0.01, may_end.wait)

    assert were_alive == [True]
    assert not threads()


def test_a_watched_function_is_ended_for_the_reason_that_the_watch_returns():
    reasons = iter([None, None, "enough"])
    with pytest.raises(TimeLimitError, match="enough"):
        run_watched(_loop, lambda thread: next(reasons), poll_s=0.01)

    assert not threads()


def test_a_watched_functions_result_or_exception_is_passed_on():
    assert run_watched(lambda: 3, lambda thread: None) == 3
    with pytest.raises(KeyError):
        run_watched(lambda: {}["x"], lambda thread: None)


def _loop():
    while True:
        pass
