"""The states of a server: of the process, and of what it accepts."""

from types import SimpleNamespace

import pytest
from concordance_inference.generation import EngineHealth, SlowStep
from concordance_inference.mods.catalog import ModCatalog
from concordance_inference.sandbox.supervisor import SandboxStatus
from concordance_sdk.host.call_in_progress import CallInProgress
from fake_engine import FakeEngine

ASK = {"model": "fake", "messages": [{"role": "user", "content": "hi"}]}
CALL = CallInProgress(
    mod="endless", event="Added", step=3, request_id="r1", seconds=2.34, started=0.0, stack=""
)
STEP = SlowStep(seconds=61.23, doing="eval", stack="")


#: The field `sandbox` of a server without one.
OFF = {"status": "off"}


@pytest.fixture(name="serve")
def _serve(serve):
    """A client of a server without a sandbox."""
    return lambda engine=None, mods=None: serve(engine, mods or ModCatalog())


def catalog_with(*, reason):
    """A catalog with a sandbox whose self-test found a fault."""
    status = SandboxStatus(is_available=not reason, reason=reason, num_leased=1, num_warm=4)
    return ModCatalog(sandbox=SimpleNamespace(status=status))


class Engine(FakeEngine):
    health = EngineHealth()

    def __init__(self, **health):
        super().__init__()
        self.health = EngineHealth(**health)


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/health"])
def test_a_server_that_accepts_requests_is_healthy_and_ready(client, path):
    response = client.get(path)

    assert response.status_code == 200
    assert response.json() == {"status": "ok", "model": "fake", "sandbox": OFF}


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
        "sandbox": OFF,
        "mod": "endless",
        "event": "Added",
        "step": 3,
        "request_id": "r1",
        "seconds": 2.3,
    }


def test_a_step_that_does_not_return_is_described(serve):
    body = serve(Engine(status="stuck", step=STEP)).get("/healthz").json()

    state = {"status": "stuck", "model": "fake", "sandbox": OFF}
    assert body == {**state, "doing": "eval", "seconds": 61.2}


def test_a_restart_says_when_the_server_may_be_ready(serve):
    body = serve(Engine(status="restarting", retry_after_s=4.0)).get("/readyz").json()

    state = {"status": "restarting", "model": "fake", "sandbox": OFF}
    assert body == {**state, "retry_after": 4.0}


def test_a_server_that_ends_is_alive_but_accepts_no_new_requests(client):
    client.app.state.context.draining.set()
    refused = client.post("/v1/chat/completions", json=ASK)

    assert client.get("/healthz").json()["status"] == "draining"
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code == 503
    assert (refused.status_code, refused.json()["error"]["type"]) == (503, "overloaded")
    assert refused.headers["retry-after"]


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_a_sandbox_that_works_is_described(serve, path):
    body = serve(mods=catalog_with(reason="")).get(path).json()

    assert body["sandbox"] == {"status": "ok", "leased": 1, "warm": 4}


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_a_server_whose_sandbox_fails_its_self_test_is_ready_and_says_what_failed(serve, path):
    response = serve(mods=catalog_with(reason="a worker can fork")).get(path)

    assert (response.status_code, response.json()["status"]) == (200, "ok")
    assert response.json()["sandbox"]["status"] == "unavailable"
    assert response.json()["sandbox"]["reason"] == "a worker can fork"
