"""Records of mods in the log of a server."""

import io
import logging

import pytest
from concordance_inference.cli import server_log
from concordance_inference.cli.server_log import ModFilter, ModFormatter
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
