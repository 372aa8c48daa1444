"""Uploaded mods over HTTP, where no model is needed: servers that cannot run them."""

import pytest
from concordance_inference.mods.catalog import ModCatalog
from concordance_inference.sandbox.supervisor import Supervisor
from fake_engine import FakeEngine

UPLOAD = {
    "name": "mine",
    "module": "m",
    "entrypoint": "mine",
    "source": {
        "m.py": "from concordance_sdk import Added, mod\n@mod(on=[Added])\ndef mine(e, a): pass"
    },
}
ASK = {"model": "fake", "messages": [{"role": "user", "content": "hi"}]}


@pytest.mark.parametrize("sandbox", [None, Supervisor()], ids=["off", "not started"])
def test_uploads_get_503_while_no_sandbox_works_and_other_mods_run(serve, sandbox):
    client = serve(mods=ModCatalog(sandbox=sandbox))
    refused = client.post("/v1/mods", json=UPLOAD)
    played = client.post("/v1/mods?dry_run=true", json={**UPLOAD, "text": "a"})
    ours = client.post("/v1/chat/completions", json={**ASK, "mods": ["greeting"]})

    for response in (refused, played):
        error = response.json()["error"]
        assert (response.status_code, error["code"]) == (503, "sandbox_unavailable")
        assert "uploaded mods cannot run" in error["message"]
    assert ours.status_code == 200


@pytest.mark.parametrize(("required", "expected"), [(None, True), (True, True), (False, False)])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
def test_requests_say_if_they_require_a_mod(serve, path, required, expected):
    engine = FakeEngine()
    body = ASK if "chat" in path else {"model": "fake", "prompt": "hi"}
    mods = [{"name": "greeting", "required": required}]
    response = serve(engine).post(path, json={**body, "mods": mods})

    assert response.status_code == 200
    assert [call.required for call in engine.requests[-1].mods] == [expected]


def test_required_is_a_boolean(serve):
    mods = [{"name": "greeting", "required": "no"}]
    error = serve().post("/v1/chat/completions", json={**ASK, "mods": mods}).json()["error"]

    assert (error["code"], error["param"]) == ("invalid_value", "mods[0].required")
