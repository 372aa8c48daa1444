"""Compiling constraints: one compiler at a time, released in every case."""

import ctypes
import threading

import pytest
from concordance_inference.mods import compiling
from concordance_inference.mods.compiling import compile_within, prepare_constraints
from concordance_inference.time_limit import TimeLimitError
from concordance_sdk.constraints import JsonSchema, compile_constraint, vocabulary
from concordance_sdk.testing import ByteTokenizer


class Interrupted(BaseException):
    """Raised in a thread that exceeded its time limit."""


class InterruptingSemaphore(threading.Semaphore):
    """A semaphore that interrupts a thread when it is first acquired."""

    def __init__(self, thread_id):
        super().__init__(1)
        self.victim = thread_id

    def acquire(self, blocking=True, timeout=None):
        acquired = super().acquire(blocking, timeout)
        victim, self.victim = self.victim, None
        if victim:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(victim), ctypes.py_object(Interrupted)
            )
        return acquired


@pytest.fixture(autouse=True)
def turn(monkeypatch):
    monkeypatch.setattr(compiling, "_compiling", threading.Semaphore(1))


def test_prepare_constraints_builds_the_vocabulary_tables(monkeypatch):
    tokenizer = ByteTokenizer()
    prepare_constraints(tokenizer)
    monkeypatch.setattr(vocabulary, "Vocabulary", None)  # calling it would fail

    compile_constraint(JsonSchema({"type": "integer"}), tokenizer)


def test_prepare_constraints_ignores_a_tokenizer_without_eos_tokens():
    class Endless(ByteTokenizer):
        eos_token_ids = frozenset()

    prepare_constraints(Endless())


def nothing():
    """A compiler that returns immediately."""


def test_an_interrupted_caller_releases_the_compiler(monkeypatch):
    caller = threading.get_ident()
    monkeypatch.setattr(compiling, "_compiling", InterruptingSemaphore(caller))

    def compile_and_wait():
        compile_within(10, nothing)
        threading.Event().wait(10)  # an interruption arrives between two bytecodes

    with pytest.raises(Interrupted):
        compile_and_wait()

    compile_within(10, nothing)


def test_a_compiler_thread_that_cannot_start_releases_the_compiler(monkeypatch):
    def refuse(*_):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(compiling, "run_within", refuse)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            compile_within(10, nothing)

    compile_within(10, nothing)


def test_compilers_wait_for_one_that_exceeded_its_time_limit():
    is_over = threading.Event()

    def stubborn():
        while not is_over.is_set():
            try:
                is_over.wait()
            except BaseException:  # a compiler in C is not interrupted
                continue

    with pytest.raises(TimeLimitError, match="takes more than"):
        compile_within(0.01, stubborn)
    with pytest.raises(TimeLimitError, match="busy"):
        compile_within(0.01, nothing)
    is_over.set()
    compile_within(10, nothing)


def test_a_compilers_exception_reaches_the_caller():
    def fail():
        raise ValueError("no such type")

    with pytest.raises(ValueError, match="no such type"):
        compile_within(10, fail)
