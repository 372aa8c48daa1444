"""Records of mods in the log of a server."""

import io
import json
import logging

import pytest
from concordance_inference.cli import server_log
from concordance_inference.cli.server_log import (
    JsonFormatter,
    ModFilter,
    ModFormatter,
    RequestFilter,
)
from concordance_inference.keys.key import new_key
from concordance_inference.server.transport import request_id
from concordance_sdk import Added, mod
from concordance_sdk.testing import play

author = logging.getLogger("an_authors_module")


@pytest.fixture(name="log")
def _log():
    """A handler like the server's, and what it writes."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(ModFormatter("%(levelname)s %(name)s: %(message)s"))
    handler.addFilter(ModFilter())
    author.addHandler(handler)
    yield stream
    author.removeHandler(handler)


def logging_mod(times=1):
    @mod(on=[Added], name="logs", registered=False)
    def logs(event, actions):
        for _ in range(times):
            author.warning("step %d", event.step)

    return logs


def test_a_record_of_a_mod_is_labelled_with_mod_and_request(log):
    request_id = play(logging_mod(), says="").request_id

    assert log.getvalue() == f"WARNING concordance.mods.logs: {request_id}: step 0\n"


def test_a_record_of_the_program_is_unchanged(log):
    author.warning("%s", "hello")

    assert log.getvalue() == "WARNING an_authors_module: hello\n"


def test_records_are_bounded_for_each_request(log, monkeypatch):
    monkeypatch.setattr(server_log, "MAX_CHARS", 20)
    for _ in range(2):
        play(logging_mod(times=50), says="")

    assert log.getvalue().count("step 0") == 2 * 4  # 6 characters each


@pytest.fixture(name="json_log")
def _json_log():
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    handler.addFilter(RequestFilter())
    handler.addFilter(ModFilter())
    author.addHandler(handler)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    author.removeHandler(handler)


@pytest.fixture(name="request_id")
def _request_id():
    token = request_id._current.set("r1")
    yield "r1"
    request_id._current.reset(token)


def test_a_record_of_a_request_begins_with_its_id_once(log, request_id):
    author.handlers[0].addFilter(RequestFilter())
    author.warning("hello")
    author.warning("%s failed", request_id)

    lines = log.getvalue().splitlines()
    assert [line.partition("module: ")[2] for line in lines] == ["r1: hello", "r1 failed"]


def test_a_json_record_has_the_time_the_level_the_logger_and_the_request(json_log, request_id):
    author.warning("%s", "hello")
    (record,) = json_log()

    assert record.pop("time").endswith("Z")
    assert record == {
        "level": "warning",
        "logger": "an_authors_module",
        "message": "hello",
        "request_id": "r1",
    }


def test_a_json_record_of_a_mod_has_the_mod_and_its_request(json_log):
    request_id = play(logging_mod(), says="").request_id
    (record,) = json_log()

    assert (record["mod"], record["request_id"]) == ("logs", request_id)
    assert (record["logger"], record["message"]) == ("concordance.mods.logs", "step 0")


def test_a_json_record_has_its_fields_and_its_exception(json_log):
    try:
        int("kaput")
    except ValueError:
        author.exception("failed", extra={"fields": {"status": 500}})
    (record,) = json_log()

    assert record["status"] == 500
    assert "ValueError: invalid literal" in record["exception"]


def test_no_record_has_a_key(log, json_log):
    secret = new_key("admin")[1]

    author.warning("the body is %s", {"api_key": secret}, extra={"fields": {"body": secret}})

    written = log.getvalue() + str(json_log())
    assert written.count("ck_...") == 3
    assert secret not in written
