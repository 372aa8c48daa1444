"""A trace tells when the device was certainly at work while mods thought."""

import json

from concordance_inference.bench import drive
from concordance_inference.bench.trace import PhaseTrace, TracedStep
from concordance_inference.engine.phases import Phase


def trace_of(*steps):
    trace = PhaseTrace()
    trace.steps = [TracedStep(*stamps) for stamps in steps]
    return trace


def test_thinking_is_covered_by_a_pass_that_is_waited_for_afterwards():
    # launched, waited, told: the mods think for 2 s, then the host waits until 13
    assert trace_of((1, 5, 7), (8, 13, 14)).busy_share() == 1


def test_thinking_is_not_covered_where_nothing_had_to_be_waited_for():
    assert trace_of((1, 5, 7), (8, 8, 9)).busy_share() == 0


def test_the_share_is_of_the_time_in_which_mods_think():
    assert trace_of((0, 1, 4), (5, 9, 10), (11, 11, 12)).busy_share() == 0.75


def test_an_engine_tells_its_phases_in_order_and_is_as_before(subject):
    expected = drive.run(subject.engine(), drive.request(subject.prompt(5), 9))
    engine, phases = subject.engine(), []
    engine.watcher = phases.append
    answers = drive.run(engine, drive.request(subject.prompt(5), 9, drive.silent))

    assert answers[0].token_ids == expected[0].token_ids
    assert phases == [*Phase] * 9


def test_a_trace_is_written_for_chrome(tmp_path):
    trace_of((1, 5, 7), (8, 13, 14)).write(tmp_path / "trace.json")
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]

    passes = [event for event in events if event["tid"] == "device"]
    assert [(event["ts"], event["dur"]) for event in passes] == [(5e6, 8e6)]
    assert {event["ph"] for event in events} == {"X"}
