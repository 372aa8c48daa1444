"""The record of a failing mod in the log, and the traceback that its client receives."""

import logging

import pytest
from concordance_inference.generation import Failed, Started
from concordance_inference.sandbox.failures import WorkerTracebackError
from concordance_inference.server.transport.mod_failures import log_failure, own_traceback
from concordance_sdk.testing import play
from concordance_shared import ModRaisedError
from fake_engine import FakeEngine

SOURCE = """
from concordance_sdk import Added, mod

def inner(event):
    raise ValueError("kaput")

@mod(on=[Added])
def broken(event, actions):
    inner(event)
"""


def failure(filename):
    """The error of a mod that was loaded from a file of this name."""
    namespace = {"__name__": "broken_module"}
    exec(compile(SOURCE, filename, "exec"), namespace)
    with pytest.raises(ModRaisedError) as caught:
        play(namespace["broken"], says="abc")
    return caught.value


@pytest.fixture(name="uploaded")
def _uploaded():
    return failure("<mod broken>/client_mod.py")


@pytest.fixture(name="operators")
def _operators():
    return failure("/srv/mods/broken.py")


def test_the_traceback_has_the_frames_of_the_mod_and_the_exception(uploaded):
    lines = own_traceback(uploaded, includes_operators=False).splitlines()

    assert lines[0] == "Traceback (most recent call last):"
    assert [line for line in lines if line.startswith("  File")] == [
        '  File "<mod broken>/client_mod.py", line 9, in broken',
        '  File "<mod broken>/client_mod.py", line 5, in inner',
    ]
    assert lines[-1] == "ValueError: kaput"


def test_the_traceback_of_an_operators_mod_is_formatted_only_if_that_is_wanted(operators):
    assert own_traceback(operators, includes_operators=False) is None
    assert "/srv/mods/broken.py" in own_traceback(operators, includes_operators=True)


def test_an_error_without_an_exception_of_the_mod_has_no_traceback():
    assert own_traceback(ModRaisedError("no"), includes_operators=True) is None


def test_a_failure_is_one_line_in_the_log(operators, caplog):
    with caplog.at_level(logging.WARNING):
        log_failure(operators, "r1")

    (record,) = caplog.records
    assert record.getMessage().startswith("r1 failed: mod 'broken' raised ValueError at Added")
    assert record.exc_info is None


def test_a_failure_has_its_traceback_in_the_log_of_every_request(operators, caplog):
    with caplog.at_level(logging.INFO):
        log_failure(operators, "r1")

    assert 'File "/srv/mods/broken.py", line 5, in inner' in caplog.text
    assert "ValueError: kaput" in caplog.text


def body(**fields):
    return {"model": "fake", "messages": [{"role": "user", "content": "hi"}], **fields}


def test_the_response_has_the_traceback_and_the_id_that_the_log_has(serve, uploaded, caplog):
    client = serve(FakeEngine([Failed(error=uploaded)]))
    response = client.post("/v1/chat/completions", json=body())
    error = response.json()["error"]

    assert response.status_code == 422
    assert (error["mod"], error["event"], error["step"]) == ("broken", "Added", 0)
    assert "in inner" in error["traceback"]
    assert f"{error['request_id']} failed: mod 'broken' raised" in caplog.text


def test_the_error_of_a_stream_has_the_traceback_too(serve, uploaded, caplog):
    client = serve(FakeEngine([Started(prompt_tokens=3), Failed(error=uploaded)]))
    response = client.post("/v1/chat/completions", json=body(stream=True))

    assert response.status_code == 200
    assert "in inner" in response.text
    assert "failed: mod 'broken' raised" in caplog.text


def test_the_source_of_an_operators_mod_is_not_sent(serve, operators):
    client = serve(FakeEngine([Failed(error=operators)]))
    error = client.post("/v1/chat/completions", json=body()).json()["error"]

    assert error["traceback"] is None


def test_a_long_traceback_is_shortened(serve):
    error = failure(f"<mod {'x' * 20_000}>/client_mod.py")
    client = serve(FakeEngine([Failed(error=error)]))
    sent = client.post("/v1/chat/completions", json=body()).json()["error"]

    assert len(sent["traceback"]) < 9000


def test_what_an_uploaded_mod_raises_is_not_logged(caplog):
    error = ModRaisedError("mod 'm' raised ValueError: secret", mod="m", event="Added", step=3)
    error.__cause__ = WorkerTracebackError("Traceback: secret")
    with caplog.at_level(logging.INFO):
        log_failure(error, "r1")

    assert "r1 failed: mod_raised of mod 'm' at Added (step 3)" in caplog.text
    assert "secret" not in caplog.text
