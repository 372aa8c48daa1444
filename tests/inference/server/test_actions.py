"""Actions on running requests, over HTTP, with a tiny model."""

import asyncio
from urllib.parse import quote

import pytest
from asgi_calls import Call
from concordance_inference.engine.control.client import EngineControl
from concordance_inference.engine.thread import EngineThread
from concordance_inference.generation import ModelInfo
from concordance_inference.server.app import create_app
from concordance_inference.server.context import ServerContext
from concordance_inference.server.served_models import OneModel
from fake_engine import FakeChat
from families import build_model
from sandboxes import mod_catalog
from tiny import make_engine

INFO = ModelInfo(id="tiny", created=0, context_length=4096, vocab_size=257)
LETTERS = {str(ord(letter)): 60.0 for letter in "abcdefgh"}
ASK = {
    "model": "tiny",
    "messages": [{"role": "user", "content": "hi"}],
    "max_tokens": 4000,
    "temperature": 0,
    "logit_bias": LETTERS,
    "loop_detection": "off",
}
CHAT = "/v1/chat/completions"


class _Thread(EngineThread):
    max_requests = 16

    @property
    def control(self):
        return EngineControl(self)


@pytest.fixture(name="app", scope="module")
def _app():
    build = lambda: (make_engine(build_model("llama"), max_paused=2), INFO)  # noqa: E731
    with _Thread(build, max_unfinished=16) as thread:
        yield create_app(ServerContext(models=OneModel(thread, FakeChat()), mods=mod_catalog()))


class Client:
    """Sends requests to the application."""

    def __init__(self, app):
        self._app = app

    def ask(self, name, **fields):
        return Call(self._app, "POST", CHAT, {**ASK, **fields}, {"X-Request-Id": name})

    async def act(self, to, kind, **fields):
        body = {"type": kind, **fields}
        return await Call(self._app, "POST", f"{CHAT}/{to}/actions", body).end()

    async def get(self, path):
        return await Call(self._app, "GET", path).end()

    async def delete(self, path):
        return await Call(self._app, "DELETE", path).end()

    async def paused(self, name, index=None, quoted=None, **fields):
        """Start a request and pause it after some tokens."""
        call = self.ask(name, **fields)
        for _ in range(2000):
            listed = await self.get(f"/v1/requests/{quoted or name}")
            choices = listed.json.get("choices")
            if choices and choices[0].get("completion_tokens", 0) >= 3:
                break
            await asyncio.sleep(0.002)
        response = await self.act(quoted or name, "pause", index=index)
        assert response.json.get("state") == "paused", response.json
        return call


def run(scenario, app):
    return asyncio.run(scenario(Client(app)))


def test_a_request_that_is_not_streamed_is_steered_by_the_id_of_its_client(app):
    async def scenario(client):
        call = await client.paused("steered")
        forced = await client.act("chatcmpl-steered", "force", text="XYZ")
        ended = await client.act("steered", "end")
        return (await call.end()), forced, ended

    response, forced, ended = run(scenario, app)

    assert response.json["id"] == "chatcmpl-steered"
    content = response.json["choices"][0]["message"]["content"]
    assert content.endswith("XYZ")
    assert forced.json["forced_tokens"] == 3
    assert forced.json["step"] == len(content) - 3
    assert (ended.json["state"], ended.json["finish_reason"]) == ("ended", "stop")
    (hand,) = response.json["concordance"]["mods"]
    assert (hand["mod"], hand["forced_tokens"]) == ("@control", 4)


def test_a_stream_shows_what_was_applied_and_where(app):
    async def scenario(client):
        call = await client.paused("shown", stream=True)
        await client.act("shown", "force", text="XYZ")
        stepped = await client.act("shown", "step", num_tokens=2)
        await client.act("shown", "end")
        return (await call.end()), stepped

    response, stepped = run(scenario, app)

    kinds = [command["type"] for command in response.commands]
    assert kinds == ["pause", "force", "step", "pause", "end"]
    assert response.shown[-5:-2] == "XYZ"
    assert stepped.json["text"] == response.shown[-2:]
    assert stepped.json["state"] == "paused"


def test_text_that_was_sent_is_only_backtracked_in_a_stream_with_retractions(app):
    async def scenario(client, **options):
        call = await client.paused("back", stream=True, **options)
        await call.until(lambda so_far: len(so_far.shown) >= 2)
        refused = await client.act("back", "backtrack", to_char=1, text="Q")
        await client.act("back", "end")
        return (await call.end()), refused

    async def plain(client):
        return await scenario(client)

    async def retracting(client):
        return await scenario(client, stream_options={"include_retractions": True})

    response, refused = run(plain, app)
    assert refused.status == 409
    assert "include_retractions" in refused.json["error"]["message"]
    assert "Q" not in response.shown

    response, accepted = run(retracting, app)
    assert accepted.status == 200, accepted.json
    assert response.shown[1:] == "Q"


def test_mods_are_added_replaced_and_removed(app):
    async def scenario(client):
        call = await client.paused("modded")
        added = await client.act("modded", "add_mod", mod={"name": "stop_at", "params": WORDS})
        listed = await client.get("/v1/requests/modded")
        replaced = await client.act("modded", "replace_mod", name="stop_at", mod="greeting")
        removed = await client.act("modded", "remove_mod", name="greeting")
        again = await client.act("modded", "remove_mod", name="greeting")
        await client.act("modded", "add_mod", mod={"name": "stop_at", "params": WORDS})
        await client.act("modded", "force", text="abc. Xenon. ")
        return (await call.end()), added, listed, replaced, removed, again

    response, added, listed, replaced, removed, again = run(scenario, app)

    assert [added.status, replaced.status, removed.status] == [200, 200, 200], replaced.raw
    assert listed.json["choices"][0]["mods"] == ["stop_at"]
    assert again.status == 409
    assert "has no mod 'greeting'" in again.json["error"]["message"]
    assert response.json["choices"][0]["finish_reason"] == "stop"


WORDS = {"phrases": ["Xenon"]}


def test_requests_are_listed_and_cancelled(app):
    async def scenario(client):
        call = await client.paused("listed", mods=["greeting"])
        listed = (await client.get("/v1/requests")).json["data"]
        cancelled = await client.delete("/v1/requests/chatcmpl-listed")
        return (await call.end()), listed, cancelled, await client.get("/v1/requests/listed")

    response, (listed,), cancelled, gone = run(scenario, app)

    assert (listed["id"], listed["state"], listed["model"]) == ("listed", "paused", "tiny")
    choice = listed["choices"][0]
    assert choice["prompt_tokens"] == 2
    assert choice["completion_tokens"] > 0
    assert choice["mods"] == ["greeting"]
    assert cancelled.json == {"id": "listed", "object": "request", "cancelled": True}
    assert (response.status, response.json["error"]["code"]) == (409, "request_cancelled")
    assert (gone.status, gone.json["error"]["code"]) == (404, "request_not_found")


@pytest.mark.parametrize("name", ["trace:1/2", "Root=1-2;Parent=3", "a?b#c%d", "x/actions"])
def test_a_request_whose_id_has_reserved_characters_is_steered_percent_encoded(app, name):
    async def scenario(client):
        quoted = quote(name, safe="")
        call = await client.paused(name, quoted=quoted)
        assert (await client.get(f"/v1/requests/{quoted}")).json["id"] == name
        assert (await client.act(quoted, "end")).json["finish_reason"] == "stop"
        response = await call.end()
        assert response.json["id"] == f"chatcmpl-{name}"

    run(scenario, app)


def test_the_choices_of_a_request_have_ids_that_no_client_can_choose(app):
    async def scenario(client):
        first = await client.paused("a", n=2, index=0)
        second = await client.paused("a:1")
        for name in ("a", "a:1"):
            assert (await client.delete(f"/v1/requests/{name}")).json["cancelled"]
        assert [(await call.end()).status for call in (first, second)] == [409, 409]

    run(scenario, app)


def test_a_cancelled_stream_ends_with_an_error(app):
    async def scenario(client):
        call = await client.paused("cut", stream=True)
        await call.until(lambda so_far: so_far.shown)
        await client.delete("/v1/requests/cut")
        return await call.end()

    response = run(scenario, app)

    assert response.events[-1]["error"]["code"] == "request_cancelled"
    assert response.raw.endswith(b"data: [DONE]\n\n")


def test_an_id_in_use_is_refused_until_its_request_has_ended(app):
    async def scenario(client):
        call = await client.paused("same")
        second = await client.ask("same").end()
        await client.act("same", "end")
        await call.end()
        third = client.ask("same", max_tokens=1)
        return second, await third.end()

    second, third = run(scenario, app)

    assert (second.status, second.json["error"]["param"]) == (409, "X-Request-Id")
    assert second.headers["x-should-retry"] == "false"
    assert third.status == 200


def test_no_more_requests_are_paused_than_allowed_and_others_run_meanwhile(app):
    async def scenario(client):
        calls = [await client.paused(name) for name in ("one", "two")]
        third = client.ask("three")
        refused = None
        while refused is None or "paused already" not in refused.json["error"]["message"]:
            refused = await client.act("three", "pause")
        done = await client.ask("four", max_tokens=3).end()
        for name in ("one", "two", "three"):
            await client.act(name, "end")
        return refused, done, [(await call.end()).status for call in (*calls, third)]

    refused, done, statuses = run(scenario, app)

    assert refused.status == 409
    assert done.json["usage"]["completion_tokens"] == 3
    assert statuses == [200, 200, 200]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"type": "leap"}, "type"),
        ({"type": "force"}, "text"),
        ({"type": "force", "text": "a", "token_ids": [1]}, "text"),
        ({"type": "force", "text": ""}, "text"),
        ({"type": "force", "tokens": [1]}, None),
        ({"type": "force", "token_ids": [257]}, None),
        ({"type": "backtrack"}, "num_tokens"),
        ({"type": "backtrack", "num_tokens": -1}, "num_tokens"),
        ({"type": "adjust"}, "type"),
        ({"type": "adjust", "bias": {"a": 1}}, "bias"),
        ({"type": "step", "num_tokens": 0}, "num_tokens"),
        ({"type": "pause", "index": 1}, "index"),
        ({"type": "add_mod", "mod": "nosuch"}, "mod"),
        ([], None),
    ],
)
def test_a_wrong_action_is_refused_and_the_request_continues(app, body, param):
    async def scenario(client):
        call = await client.paused("wrong")
        sent = await Call(client._app, "POST", f"{CHAT}/wrong/actions", body).end()
        await client.act("wrong", "resume")
        await client.act("wrong", "end")
        return sent, await call.end()

    sent, response = run(scenario, app)

    assert sent.status in (400, 404), sent.json
    if param:
        assert sent.json["error"]["param"] == param
    assert response.status == 200


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("resume", {}),
        ("backtrack", {"num_tokens": 5000}),
        ("backtrack", {"to_token": 5000}),
        ("backtrack", {"to_char": 5000}),
        ("reason", {"text": "hm"}),
        ("end_reasoning", {}),
        ("remove_mod", {"name": "output_format"}),
        ("replace_mod", {"name": "nosuch", "mod": "greeting"}),
    ],
)
def test_an_action_that_does_not_fit_is_refused_with_409(app, kind, fields):
    async def scenario(client):
        call = await client.paused("unfit")
        if kind == "resume":
            await client.act("unfit", "resume")
        sent = await client.act("unfit", kind, **fields)
        await client.act("unfit", "end")
        return sent, await call.end()

    sent, response = run(scenario, app)

    assert sent.status == 409, sent.json
    assert response.status == 200


def test_an_action_names_the_choice_of_a_request_with_several(app):
    async def scenario(client):
        call = await client.paused("both", n=2, index=0)
        missing = await client.act("both", "end")
        await client.act("both", "force", text="XYZ", index=1)
        await client.act("both", "end", index=0)
        await client.act("both", "end", index=1)
        return await call.end(), missing

    response, missing = run(scenario, app)

    texts = [choice["message"]["content"] for choice in response.json["choices"]]
    assert ["XYZ" in text for text in texts] == [False, True]
    assert (missing.status, missing.json["error"]["param"]) == (400, "index")


def test_an_unknown_or_ended_request_is_404(app):
    async def scenario(client):
        await client.ask("gone", max_tokens=1).end()
        return [await client.act(name, "pause") for name in ("gone", "never", "a%20b")]

    assert [sent.json["error"]["code"] for sent in run(scenario, app)] == ["request_not_found"] * 3


def test_hundreds_of_actions_of_two_clients_leave_a_consistent_completion(app):
    async def scenario(client):
        call = client.ask("busy", max_tokens=3000)
        others = client.ask("calm", max_tokens=30)
        sent = []

        async def hammer(letter):
            sent.extend([await client.act("busy", "force", text=letter) for _ in range(100)])

        await asyncio.gather(hammer("X"), hammer("Y"))
        await client.act("busy", "end")
        return await call.end(), await others.end(), sent

    response, calm, sent = run(scenario, app)

    applied = [each.json for each in sent if each.status == 200]
    text = response.json["choices"][0]["message"]["content"]
    assert len(applied) > 50
    assert sum(text.count(letter) for letter in "XY") == len(applied)
    assert all(text[each["step"]] in "XY" for each in applied)
    assert calm.json["usage"]["completion_tokens"] == 30


def test_the_reasoning_is_added_to_and_ended_while_the_model_reasons(app):
    opened = [{"role": "user", "content": "hi<think>\n"}]

    async def scenario(client):
        call = await client.paused("thinks", messages=opened)
        added = await client.act("thinks", "reason", text="XYZ")
        ended = await client.act("thinks", "end_reasoning", text=" So:")
        too_late = await client.act("thinks", "reason", text="hm")
        await client.act("thinks", "force", text="done")
        await client.act("thinks", "end")
        return await call.end(), added, ended, too_late

    response, added, ended, too_late = run(scenario, app)

    assert (added.json["forced_tokens"], ended.json["forced_tokens"]) == (3, len(" So:</think>"))
    assert too_late.status == 409
    message = response.json["choices"][0]["message"]
    assert message["content"] == "done"
    assert message["reasoning_content"].endswith("XYZ So:")


def test_the_mod_that_enforces_a_format_cannot_be_removed(app):
    async def scenario(client):
        call = await client.paused("formatted", regex="[a-h]{100}")
        removed = await client.act("formatted", "remove_mod", name="regex")
        await client.act("formatted", "add_mod", mod="greeting")
        listed = await client.get("/v1/requests/formatted")
        await client.act("formatted", "resume")
        return await call.end(), removed, listed

    response, removed, listed = run(scenario, app)

    assert removed.status == 409
    assert listed.json["choices"][0]["mods"] == ["greeting", "regex"]
    assert len(response.json["choices"][0]["message"]["content"]) == 100


def test_an_action_with_an_error_ends_the_request_with_it(app):
    async def scenario(client):
        call = await client.paused("stopped")
        sent = await client.act("stopped", "error", message="not like this")
        return await call.end(), sent

    response, sent = run(scenario, app)

    assert sent.json["state"] == "ended"
    assert (response.status, response.json["error"]["mod"]) == (422, "@control")
    assert response.json["error"]["message"].endswith("not like this")
