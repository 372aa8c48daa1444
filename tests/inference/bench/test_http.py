"""Figures of the HTTP layer over an engine that computes nothing."""

import pytest
from concordance_inference.bench import suite
from concordance_inference.bench.cases import http
from concordance_inference.bench.paced_server import PacedEngine
from concordance_inference.generation import Completed, Started, TextDelta
from tiny import ask


def test_a_paced_engine_emits_a_token_in_each_step():
    engine, updates = PacedEngine(0.0), []
    engine.submit(ask("a", max_tokens=2), updates.append)
    while engine.has_work:
        engine.step()

    assert [type(update) for update in updates] == [Started, TextDelta, TextDelta, Completed]
    assert updates[-1].text == "".join(update.text for update in updates[1:3])


@pytest.mark.process
@pytest.mark.slow
def test_the_http_layer_is_measured_on_the_real_server(monkeypatch):
    monkeypatch.setattr(http, "_LOADS", ((1, 1.0, 20), (4, 1.0, 20)))
    monkeypatch.setattr(http, "_NUM_ERRORS", 3)
    figures = list(suite.figures([], ["http"]))

    assert [figure.unit for figure in figures] == ["ms", "ms", "µs", "tokens/s", "µs", "tokens/s"]
