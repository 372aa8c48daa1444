"""Traces show when the device was busy while mods ran."""

import json
import time

from concordance_inference.bench import drive
from concordance_inference.bench import trace as trace_module
from concordance_inference.bench.trace import PhaseTrace, TracedStep
from concordance_inference.engine.engine import Phase


def trace_of(*steps):
    trace = PhaseTrace()
    trace.steps = [TracedStep(*stamps) for stamps in steps]
    return trace


def test_the_device_is_busy_if_a_pass_outlasts_the_mods():
    # launched, waited, dispatched, done: the mods run for 2 s, and the device until 13
    assert trace_of((1, 5, 7, 13), (8, 13, 14, 15)).busy_share() == 1


def test_the_device_is_not_busy_if_it_is_done_when_the_mods_are():
    assert trace_of((1, 5, 7, 7), (8, 8, 9, 9.0001)).busy_share() == 0


def test_the_busy_share_is_of_the_time_in_mods():
    assert trace_of((0, 1, 4, 5), (5, 9, 10, 10)).busy_share() == 0.75


def test_a_trace_waits_for_the_device_once_mods_have_run(monkeypatch):
    trace = PhaseTrace()
    monkeypatch.setattr(trace_module.mx, "synchronize", lambda: time.sleep(0.01))
    for phase in Phase:
        trace(phase)
    (step,) = trace.steps

    assert step.launched <= step.waited <= step.dispatched <= step.done - 0.01
    assert trace.busy_share() == 1


def test_an_engine_reports_its_phases_in_order_and_samples_the_same(subject):
    expected = drive.run(subject.engine(), drive.request(subject.prompt(5), 9))
    engine, phases = subject.engine(), []
    engine.watcher = phases.append
    completed = drive.run(engine, drive.request(subject.prompt(5), 9, drive.silent))

    assert completed[0].token_ids == expected[0].token_ids
    assert phases == [*Phase] * 9


def test_a_trace_is_written_in_chromes_format(tmp_path):
    trace_of((1, 5, 7, 13), (14, 15, 16, 17)).write(tmp_path / "trace.json")
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]

    passes = [event for event in events if event["tid"] == "device"]
    assert [(event["ts"], event["dur"]) for event in passes] == [(5e6, 8e6), (15e6, 2e6)]
    assert {event["ph"] for event in events} == {"X"}
