"""What a key's requests make belongs to the key: others get 404, as if it did not exist."""

import asyncio

import pytest
from asgi_calls import Call
from concordance_inference.traces.hub import TraceHub
from fake_engine import FakeEngine, says
from keyed import CHAT, KeyedServer, upload
from recorded_hi import record

RESPONSE = {"model": "fake", "input": "hi"}


@pytest.fixture(name="two")
def _two(server):
    """Two callers with a key each that may upload, and an admin."""
    return server.of("mods:write", owner="ann"), server.of("mods:write"), server.of("admin")


def names(client, path="/v1/mods"):
    return {each["id"] for each in client.get(path).json()["data"]}


# Mods


def test_an_upload_is_its_owners_and_does_not_exist_for_others(two):
    ann, bob, _ = two
    made = ann.post("/v1/mods", json=upload("secret-plan"))
    assert made.status_code == 201
    assert made.json()["owner"] == "ann"

    assert "secret-plan" in names(ann)
    assert "secret-plan" not in names(bob)
    assert "fake/secret-plan" not in names(bob, "/v1/models")
    digits = made.json()["hash"]
    for response in (
        bob.get("/v1/mods/secret-plan"),
        bob.get(f"/v1/mods/secret-plan@{digits}"),
        bob.delete("/v1/mods/secret-plan"),
        bob.delete("/v1/mods/secret-plan?owner=ann"),
        bob.post("/v1/mods/secret-plan/dry_run", json={"says": "x"}),
        bob.post("/v1/chat/completions", json={**CHAT, "mods": ["secret-plan"]}),
        bob.post("/v1/chat/completions", json={**CHAT, "model": "fake/secret-plan"}),
        bob.post("/v1/chat/completions", json={**CHAT, "mods": [f"secret-plan@{digits}"]}),
        bob.get("/v1/models/fake/secret-plan"),
    ):
        assert response.status_code == 404, response.text
        assert "sha256" not in response.json()["error"]["message"].replace(digits, "")
    for name in ("secret-plam", "secret"):  # nor does an error suggest it
        assert "secret-plan" not in bob.get(f"/v1/mods/{name}").text
    assert ann.get("/v1/mods/secret-plan").status_code == 200


def test_two_owners_have_a_mod_of_one_name_each(two):
    ann, bob, _ = two
    first = ann.post("/v1/mods", json=upload(text="of ann")).json()
    second = bob.post("/v1/mods", json=upload(text="of bob")).json()

    assert first["description"] == ann.get("/v1/mods/hello").json()["description"] == "of ann"
    assert bob.get("/v1/mods/hello").json()["description"] == "of bob"
    assert bob.get(f"/v1/mods/hello@{first['hash']}").status_code == 404
    assert ann.get("/v1/mods/hello").json()["versions"] == [first["hash"]]
    assert bob.delete("/v1/mods/hello").status_code == 200
    assert ann.get("/v1/mods/hello").status_code == 200
    assert second["owner"] != "ann"


def test_the_operators_mods_are_for_all(two):
    for client in two:
        assert client.get("/v1/mods/greeting").status_code == 200
        assert client.post("/v1/mods", json=upload("greeting")).status_code == 409


def test_a_request_runs_the_mod_of_its_owner(server, two):
    ann, bob, _ = two
    ann.post("/v1/mods", json=upload(text="of ann"))
    bob.post("/v1/mods", json=upload(text="of bob"))

    for client in (ann, bob):
        client.post("/v1/chat/completions", json={**CHAT, "mods": ["hello"]})

    docs = [request.mods[0].definition.doc for request in server.engine.requests]
    assert docs == ["of ann", "of bob"]


def test_keys_of_one_owner_have_the_same(server, two):
    ann, *_ = two
    ann.post("/v1/mods", json=upload())

    assert server.of("infer", owner="ann").get("/v1/mods/hello").status_code == 200


def test_an_admin_shares_a_version_that_later_uploads_do_not_replace(two):
    ann, bob, admin = two
    first = ann.post("/v1/mods", json=upload(text="first")).json()

    shared = admin.post("/v1/mods/hello/share", json={"owner": "ann"})
    assert (shared.status_code, shared.json()["shared"]) == (200, True)
    ann.post("/v1/mods", json=upload(text="second"))

    seen = bob.get("/v1/mods/hello").json()
    assert (seen["description"], seen["owner"], seen["hash"]) == ("first", "ann", first["hash"])
    assert seen["versions"] == [first["hash"]]
    assert ann.get("/v1/mods/hello").json()["description"] == "second"
    assert bob.delete("/v1/mods/hello").status_code == 403
    bob.post("/v1/mods", json=upload(text="of bob"))
    assert bob.get("/v1/mods/hello").json()["description"] == "of bob"
    assert bob.delete("/v1/mods/hello").status_code == 200

    stopped = admin.post("/v1/mods/hello/share", json={"owner": "ann", "shared": False})
    assert stopped.status_code == 200
    assert bob.get("/v1/mods/hello").status_code == 404


def test_a_shared_mod_that_its_owner_deletes_is_gone(two):
    ann, bob, admin = two
    ann.post("/v1/mods", json=upload())
    admin.post("/v1/mods/hello/share", json={"owner": "ann"})

    assert ann.delete("/v1/mods/hello").status_code == 200
    assert bob.get("/v1/mods/hello").status_code == 404


def test_only_an_admin_shares_and_only_what_there_is(two):
    ann, bob, admin = two
    ann.post("/v1/mods", json=upload())
    bob.post("/v1/mods", json=upload())
    owner = bob.get("/v1/mods/hello").json()["owner"]

    assert ann.post("/v1/mods/hello/share", json={}).status_code == 403
    for body, status in (
        ({"owner": "eve"}, 404),
        ({}, 404),
        ({"owner": "ann"}, 200),
        ({"owner": owner}, 409),
        ({"owner": 1}, 400),
        ({"share": True}, 400),
    ):
        assert admin.post("/v1/mods/hello/share", json=body).status_code == status, body


def test_an_admin_sees_and_deletes_what_others_have_uploaded(two):
    ann, bob, admin = two
    ann.post("/v1/mods", json=upload())
    bob.post("/v1/mods", json=upload())
    listed = [m["owner"] for m in admin.get("/v1/mods").json()["data"] if m["id"] == "hello"]

    assert len(listed) == 2
    assert "ann" in listed
    assert admin.get("/v1/mods/hello").status_code == 404  # by its name it is the owner's only
    assert admin.delete("/v1/mods/hello?owner=ann").status_code == 200
    assert ann.get("/v1/mods/hello").status_code == 404
    assert bob.get("/v1/mods/hello").status_code == 200


def test_the_limit_of_uploads_is_that_of_an_owner(two, monkeypatch):
    monkeypatch.setattr("concordance_inference.mods.uploads.MAX_UPLOADS", 1)
    monkeypatch.setattr("concordance_inference.mods.uploads.MAX_ALL", 2)
    ann, bob, admin = two

    assert ann.post("/v1/mods", json=upload("a")).status_code == 201
    assert ann.post("/v1/mods", json=upload("b")).status_code == 409
    assert bob.post("/v1/mods", json=upload("a")).status_code == 201
    everyone = admin.post("/v1/mods", json=upload("a"))
    assert (everyone.status_code, "all clients" in everyone.text) == (409, True)


# Responses


def test_a_stored_response_is_its_owners(two):
    ann, bob, admin = two
    made = ann.post("/v1/responses", json=RESPONSE).json()
    path = f"/v1/responses/{made['id']}"
    item = made["output"][0]["id"]

    for other in (bob, admin):
        for response in (
            other.get(path),
            other.get(f"{path}?stream=true"),
            other.get(f"{path}/input_items"),
            other.post(f"{path}/cancel", json={}),
            other.delete(path),
        ):
            assert response.status_code == 404, response.text
        for fields in (
            {"previous_response_id": made["id"]},
            {"input": [{"type": "item_reference", "id": item}]},
        ):
            response = other.post("/v1/responses", json={**RESPONSE, **fields})
            assert response.status_code in (400, 404), response.text
    assert ann.get(path).json() == made
    follow = {**RESPONSE, "previous_response_id": made["id"]}
    assert ann.post("/v1/responses", json=follow).status_code == 200
    assert ann.delete(path).status_code == 200
    assert "was deleted" in ann.get(path).text
    assert "was deleted" not in bob.get(path).text


def test_a_response_in_the_background_is_its_owners(server):
    server.engine.updates = [*says("Hel")[:-1], 30.0]
    headers = [{"x-api-key": server.key("infer")[1]} for _ in range(2)]

    async def run():
        ann, bob = headers
        body = {**RESPONSE, "background": True}
        made = (await Call(server.app, "POST", "/v1/responses", body, headers=ann).end()).json
        path = f"/v1/responses/{made['id']}"
        for method, at in (("GET", path), ("DELETE", path), ("POST", f"{path}/cancel")):
            other = await Call(
                server.app, method, at, {} if method == "POST" else None, headers=bob
            ).end()
            assert other.status == 404
        mine = await Call(server.app, "GET", path, headers=ann).end()
        assert mine.json["status"] == "in_progress"
        ended = await Call(server.app, "POST", f"{path}/cancel", {}, headers=ann).end()
        assert ended.json["status"] == "cancelled"

    asyncio.run(run())


def test_two_owners_may_choose_the_same_id(two):
    ann, bob, _ = two
    chosen = {"X-Request-Id": "one"}
    first = ann.post("/v1/responses", json=RESPONSE, headers=chosen)
    second = bob.post("/v1/responses", json=RESPONSE, headers=chosen)

    assert first.headers["x-request-id"] == second.headers["x-request-id"] == "one"
    assert first.json()["id"] == "resp_one@ann"
    assert first.json()["id"] != second.json()["id"]
    assert ann.get("/v1/responses/resp_one@ann").json() == first.json()
    assert bob.get("/v1/responses/resp_one@ann").status_code == 404


# Running requests


def test_a_running_request_is_its_owners_and_the_admins(server):
    server.engine.updates = [*says("Hel")[:-1], 30.0]
    ann, bob, admin = (
        {"x-api-key": server.key(role, owner=owner)[1]}
        for role, owner in (("infer", "ann"), ("infer", None), ("admin", None))
    )

    async def get(method, path, headers, body=None):
        return await Call(server.app, method, path, body, headers=headers).end()

    async def run():
        body = {**CHAT, "stream": True}
        chosen = {**ann, "x-request-id": "essay"}
        call = Call(server.app, "POST", "/v1/chat/completions", body, headers=chosen)
        await call.until(lambda call: call.events)
        completion = call.events[0]["id"]
        assert completion == "chatcmpl-essay@ann"
        assert (await get("GET", "/v1/requests", bob)).json["data"] == []
        for name in ("essay", "essay@ann", completion):
            for method, path, given in (
                ("GET", f"/v1/requests/{name}", None),
                ("DELETE", f"/v1/requests/{name}", None),
                ("POST", f"/v1/requests/{name}/cancel", {}),
                ("POST", f"/v1/requests/{name}/actions", {"type": "pause"}),
                ("POST", f"/v1/chat/completions/{name}/actions", {"type": "end"}),
            ):
                assert (await get(method, path, bob, given)).status == 404, path
            assert (await get("GET", f"/v1/requests/{name}", ann)).status == 200
        for own in (ann, admin):
            (listed,) = (await get("GET", "/v1/requests", own)).json["data"]
            assert listed["id"] == "essay@ann"
        same = Call(
            server.app,
            "POST",
            "/v1/chat/completions",
            body,
            headers={**bob, "x-request-id": "essay"},
        )
        await same.until(lambda call: call.events)
        assert same.status == 200
        same.leave()
        cancelled = await get("DELETE", "/v1/requests/essay", ann)
        assert cancelled.json["cancelled"]
        call.leave()
        await call.end()

    asyncio.run(run())


# Resuming and branching


@pytest.mark.parametrize("field", ["resume_from", "branch_from"])
@pytest.mark.parametrize("chosen", [None, "story"])
def test_a_completion_is_continued_by_its_owner_only(server, two, field, chosen):
    ann, bob, admin = two
    headers = {"X-Request-Id": chosen} if chosen else {}
    made = ann.post("/v1/chat/completions", json=CHAT, headers=headers).json()
    server.engine.cut(server.engine.requests[0], "Once")
    names = [made["id"], made["id"].removeprefix("chatcmpl-"), *([chosen] if chosen else [])]

    for name in names:
        given = name if field == "resume_from" else {"id": name, "position": 1}
        body = {"model": "fake", field: given, "max_tokens": 5}
        for other in (bob, admin):
            response = other.post("/v1/chat/completions", json=body)
            assert response.status_code == 404
            assert response.json()["error"]["code"] == "completion_not_found"
        own = ann.post("/v1/chat/completions", json=body)
        assert own.status_code == 200, own.text


# Traces


@pytest.fixture(name="traced")
def _traced(tmp_path):
    hub = TraceHub()
    return KeyedServer(tmp_path / "keys.json", FakeEngine(record), traces=hub), hub


@pytest.mark.parametrize("chosen", [None, "story"])
def test_a_trace_is_its_owners_and_the_admins(traced, chosen):
    server, hub = traced
    ann, bob, admin = (server.of(role) for role in ("infer", "infer", "admin"))
    headers = {"X-Request-Id": chosen} if chosen else {}
    for client, text in ((ann, "of ann"), (bob, "of bob")):
        messages = [{"role": "user", "content": text}]
        body = {**CHAT, "messages": messages, "trace": True}
        assert client.post("/v1/chat/completions", json=body, headers=headers).status_code == 200
    hub.flush()

    (mine,) = ann.get("/v1/traces").json()["data"]
    assert mine["prompt_preview"] == "of ann"
    for client in (ann, admin):
        assert client.get(f"/v1/traces/{mine['id']}").json()["prompt"] == "of ann"
    assert "of ann" not in bob.get("/v1/traces/export").text
    assert bob.get("/v1/traces?search=of+ann").json()["data"] == []
    assert len(admin.get("/v1/traces").json()["data"]) == 2
    assert bob.get(f"/v1/traces/{mine['id']}").status_code == 404
    assert bob.get(f"/v1/traces/{mine['id']}?format=text").status_code == 404
    assert bob.delete(f"/v1/traces/{mine['id']}").status_code == 404
    if chosen:
        assert ann.get("/v1/traces/story").json()["prompt"] == "of ann"
        assert bob.get("/v1/traces/story").json()["prompt"] == "of bob"
        assert ann.delete("/v1/traces/story").status_code == 200
        assert bob.get("/v1/traces/story").status_code == 200
    else:
        assert ann.delete(f"/v1/traces/{mine['id']}").status_code == 200


def test_a_live_stream_has_the_traces_of_its_owner_and_traces_no_other(traced):
    server, hub = traced
    ann, bob = ({"x-api-key": server.key("infer")[1]} for _ in range(2))

    async def watch():
        live = Call(server.app, "GET", "/v1/traces/live", headers=ann)
        await live.until(lambda call: b"watching" in call.raw)
        for headers in (bob, ann):
            await Call(server.app, "POST", "/v1/chat/completions", CHAT, headers=headers).end()
        await live.until(lambda call: b'"type":"end"' in call.raw)
        live.leave()
        await live.end()
        return [event["trace"]["owner"] for event in live.events if event["type"] == "begin"]

    owners = asyncio.run(watch())

    hub.flush()
    (summary,) = hub.store.list()  # the other caller did not ask for a trace
    assert owners == [summary.owner]
    assert summary.owner


def test_traces_of_keys_are_not_shown_to_callers_without_keys(traced, tmp_path):
    server, hub = traced
    server.of("infer").post("/v1/chat/completions", json={**CHAT, "trace": True})
    hub.flush()
    (trace,) = hub.store.list()

    later = KeyedServer(tmp_path / "none.json", traces=hub).client()

    assert later.get("/v1/traces").json()["data"] == []
    assert later.get(f"/v1/traces/{trace.id}").status_code == 404


def test_every_route_with_an_id_says_404_to_another_caller(traced):
    """The ids of one caller, in every route that takes one."""
    server, hub = traced
    ann, bob = server.of("mods:write"), server.of("mods:write")
    ann.post("/v1/mods", json=upload("hello"))
    response = ann.post("/v1/responses", json={**RESPONSE, "trace": True}).json()["id"]
    hub.flush()
    request = response.removeprefix("resp_")
    names = {"name": "hello", "id": request, "response_id": response}
    for route in server.app.routes:
        if "{" not in route.path or route.scope in ("page", "admin"):
            continue
        path = route.path.replace(":path", "").format(**names)
        body = {"type": "pause"} if path.endswith("actions") else {}
        body = {"says": "x"} if path.endswith("dry_run") else body

        got = bob.request(route.method, path, json=body if route.method == "POST" else None)

        assert got.status_code == 404, (route.method, path, got.text)
