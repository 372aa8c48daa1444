"""Lines of mods in the traces of their requests, with a real engine."""

import logging

from concordance_inference.mods.mod_output import captured_output
from concordance_inference.traces.hub import TraceHub
from concordance_inference.traces.mod_lines import ModLines, logged_lines
from concordance_sdk import Added, mod
from tiny import ask, make_engine, run


class Texts:
    def decode(self, token_ids):
        return bytes(i % 256 for i in token_ids).decode(errors="replace")

    def token_bytes(self, token_id, *, at_start=False):
        return bytes([token_id % 256])


@mod
def talker(event, actions):
    if isinstance(event, Added) and event.step == 1:
        print("printed")  # noqa: T201
        logging.getLogger("concordance.mods.talker").warning("logged %d", 3)


def test_what_a_mod_prints_and_logs_is_in_the_event_of_its_call():
    hub, passed_on = TraceHub(), []
    lines = ModLines(hub)
    (request,) = hub.begin(
        [ask("Hello", talker, max_tokens=4, trace="tokens")], model="m", path="/x", texts=Texts()
    )
    sink = lines.sink(lambda scope, line: passed_on.append(line))
    with captured_output(sink), logged_lines(lines):
        run(make_engine(), request)
    hub.flush()

    (event,) = hub.store.get(request.request_id).events
    assert [(log.level, log.text) for log in event.logs] == [
        ("print", "printed"),
        ("warning", "logged 3"),
    ]
    assert (event.mod, event.event, event.action, event.position) == ("talker", "Added", "Noop", 1)
    assert passed_on == ["printed"]
