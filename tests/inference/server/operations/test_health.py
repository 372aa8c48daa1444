"""The states of a server: of the process, and of what it accepts."""

import pytest
from concordance_inference.generation import EngineHealth, SlowStep
from concordance_sdk.host.call_in_progress import CallInProgress
from fake_engine import FakeEngine

ASK = {"model": "fake", "messages": [{"role": "user", "content": "hi"}]}
CALL = CallInProgress(
    mod="endless", event="Added", step=3, request_id="r1", seconds=2.34, started=0.0, stack=""
)
STEP = SlowStep(seconds=61.23, doing="eval", stack="")


class Engine(FakeEngine):
    health = EngineHealth()

    def __init__(self, **health):
        super().__init__()
        self.health = EngineHealth(**health)


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/health"])
def test_a_server_that_accepts_requests_is_healthy_and_ready(client, path):
    response = client.get(path)

    assert response.status_code == 200
    assert response.json() == {"status": "ok", "model": "fake"}


@pytest.mark.parametrize(
    ("health", "healthz"), [("restarting", 200), ("stuck", 503), ("stopped", 503)]
)
def test_a_process_is_unhealthy_only_in_states_that_it_does_not_leave_by_itself(
    serve, health, healthz
):
    client = serve(Engine(status=health))

    assert client.get("/healthz").status_code == healthz
    assert client.get("/healthz").json()["status"] == health
    for path in ("/readyz", "/health"):
        response = client.get(path)
        assert response.status_code == 503
        assert response.headers["retry-after"]
        assert response.json() == client.get("/healthz").json()


def test_a_handler_that_does_not_return_is_named(serve):
    assert serve(Engine(status="stuck", call=CALL)).get("/healthz").json() == {
        "status": "stuck",
        "model": "fake",
        "mod": "endless",
        "event": "Added",
        "step": 3,
        "request_id": "r1",
        "seconds": 2.3,
    }


def test_a_step_that_does_not_return_is_described(serve):
    body = serve(Engine(status="stuck", step=STEP)).get("/healthz").json()

    assert body == {"status": "stuck", "model": "fake", "doing": "eval", "seconds": 61.2}


def test_a_restart_says_when_the_server_may_be_ready(serve):
    body = serve(Engine(status="restarting", retry_after_s=4.0)).get("/readyz").json()

    assert body == {"status": "restarting", "model": "fake", "retry_after": 4.0}


def test_a_server_that_ends_is_alive_but_accepts_no_new_requests(client):
    client.app.state.context.draining.set()
    refused = client.post("/v1/chat/completions", json=ASK)

    assert client.get("/healthz").json()["status"] == "draining"
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code == 503
    assert (refused.status_code, refused.json()["error"]["type"]) == (503, "overloaded")
    assert refused.headers["retry-after"]
