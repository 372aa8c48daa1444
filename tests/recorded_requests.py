"""Requests over HTTP to a tiny model, random ones too, that are recorded and can be replayed."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from concordance_inference.runtime import Runtime
from concordance_inference.server.app import create_app
from concordance_inference.server.context import ServerContext
from concordance_inference.server.served_models import OneModel
from concordance_inference.traces.hub import TraceHub
from concordance_inference.traces.store import Limits, Query, TraceStore
from sandboxes import mod_catalog
from starlette.testclient import TestClient
from tool_folders import write_byte_folder

MODS = '''
import random
import zlib

from concordance_sdk import AdjustedLogits, AdjustedPrefill, Backtrack, ForceTokens, Noop, mod
from concordance_sdk.constraints import ChoicesStrat


def dice_of(seed, event):
    return random.Random(f"{seed} {type(event).__name__} {event.step}")


@mod(max_backtrack=None)
class Wild:
    """Forces, takes back, replaces and adjusts where a seed says so, a limited number of times."""

    seed: int = 0
    limit: int = 6

    def __init__(self):
        self.num = 0

    def _acts(self, dice, share):
        is_on = self.num < self.limit and dice.random() < share
        self.num += is_on
        return is_on

    def prefilled(self, event, actions):
        dice = dice_of(self.seed, event)
        if dice.random() < 0.3:
            return AdjustedPrefill([*event.context_info.tokens, *b"!!"], max_steps=20)

    def forward_pass(self, event, actions):
        dice = dice_of(self.seed, event)
        if self._acts(dice, 0.1):
            return ForceTokens([dice.randrange(97, 122) for _ in range(dice.randrange(1, 4))])
        if dice.random() < 0.2:
            best = event.logits.top_k(3)
            return AdjustedLogits(ban=[best[0][0]], bias={best[2][0]: 2.0})

    def sampled(self, event, actions):
        dice = dice_of(self.seed, event)
        if self._acts(dice, 0.15):
            return ForceTokens([event.sampled_token ^ 1, 45])
        if self._acts(dice, 0.1) and event.step > 2:
            return Backtrack(2)

    def added(self, event, actions):
        dice = dice_of(self.seed, event)
        if self._acts(dice, 0.2):
            tokens = [42] * dice.randrange(3) or None
            return Backtrack(min(2, event.step + len(event.added_tokens)), tokens)


@mod
def asks(run):
    """Asks the model a question, and forces a text by its answer."""
    yield run.generate(tokens=4)
    answer = yield run.ask(" Well?", ChoicesStrat([" yes", " no"]))
    yield run.force(" good" if answer == " yes" else " bad")
    yield run.generate(tokens=6, temperature=0.5)


@mod
class Ends:
    """Ends the completion as a text or as a tool call."""

    at: int = 6
    calls: bool = False

    def added(self, event, actions):
        if event.step >= self.at:
            call = {"name": "add", "arguments": {"a": 1}}
            return actions.tool_calls(call) if self.calls else actions.force_output([72, 105])


@mod
class Fails:
    """Raises, after some tokens."""

    at: int = 5

    def sampled(self, event, actions):
        if event.step == self.at:
            raise ValueError("on purpose")
'''

SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "b": {"enum": ["x", "yy"]}},
    "required": ["a", "b"],
    "additionalProperties": False,
}
TOOL = {"type": "function", "function": {"name": "add", "parameters": SCHEMA}}
JSON = {"type": "json_schema", "json_schema": {"name": "s", "schema": SCHEMA}}


class Recorded:
    """A server in this process whose requests are recorded, and its runtime."""

    def __init__(self, folder, runtime, catalog, level):
        self.folder = folder
        self.runtime = runtime
        store = TraceStore(folder / "traces.db", Limits())
        self.hub = TraceHub(level, store)
        context = ServerContext(
            models=OneModel(runtime, runtime.chat), mods=catalog, traces=self.hub
        )
        self.client = TestClient(create_app(context), base_url="http://127.0.0.1:8000")

    def post(self, body, path="/v1/chat/completions"):
        """Send a request; return the response's text."""
        model = body.get("model", "{}").format(self.runtime.model.id)
        return self.client.post(path, json={**body, "model": model})

    def record(self, body, path="/v1/chat/completions"):
        """Send a request; return its trace, or the first of several."""
        known = {each.id for each in self.traces()}
        got = self.post(body, path)
        for _ in range(100):  # the end of a request is recorded after its response
            if made := [each for each in self.traces() if each.id not in known]:
                return made[0]
            time.sleep(0.01)
        raise AssertionError(got.text)

    def record_all(self, requests):
        """Send requests `(path, body)` at the same time; return all traces so far, oldest first."""
        with ThreadPoolExecutor(8) as pool:
            for got in pool.map(lambda request: self.post(request[1], request[0]), requests):
                assert got.status_code < 500 or "on purpose" in got.text, got.text
        time.sleep(0.1)
        return self.traces()[::-1]

    def traces(self):
        self.hub.flush()
        store = self.hub.store
        return [store.get(summary.id) for summary in store.list(Query(limit=1000))]


@contextmanager
def recorded(folder, *, level="tokens"):
    """Load a tiny model, and record its requests."""
    model = folder / "tiny"
    if not model.exists():
        write_byte_folder(model)
        (folder / "wild.py").write_text(MODS)
    catalog = mod_catalog([folder / "wild.py"])
    with Runtime(str(model), catalog, progress=lambda _: None) as runtime:
        server = Recorded(folder, runtime, catalog, level)
        with server.client:
            yield server


def random_request(dice):
    """A route, and a body with random mods, constraints, tools, parameters and seeds."""
    text = "".join(dice.choice("abcdefgh ") for _ in range(dice.randrange(1, 30)))
    body = {"max_tokens": dice.randrange(4, 28), "temperature": dice.choice([0, 0.7, 1.0, 1.6])}
    body |= dice.choice([{}, {"top_p": 0.8}, {"top_k": 12}, {"min_p": 0.05}])
    if dice.random() < 0.5:
        body["seed"] = dice.randrange(2**31)
    if dice.random() < 0.3:
        body |= {"presence_penalty": 0.7, "logit_bias": {"97": 3.0}}
    if dice.random() < 0.2:
        body["stop"] = ["a", "e"]
    if dice.random() < 0.2:
        body |= {"ignore_eos": True, "min_tokens": 3}
    if mods := dice.sample(_mods(dice), dice.choice([0, 1, 1, 2])):
        body["mods"] = mods
    if dice.random() < 0.3:
        body["stream"] = True
    if dice.random() < 0.2:
        return "/v1/completions", {**body, "prompt": text}
    return "/v1/chat/completions", {**body, **_chat(dice, text)}


def _chat(dice, text):
    messages = [{"role": "user", "content": text}]
    if dice.random() < 0.3:
        before = [{"role": "system", "content": "s"}, {"role": "assistant", "content": text}]
        messages = [*before, *messages]
    fields = dice.choice(
        [
            {},
            {},
            {"response_format": JSON, "max_tokens": 40},
            {"tools": [TOOL], "tool_choice": "required", "max_tokens": 60},
            {"tools": [TOOL]},
            {"n": 2},
            {"banned_strings": ["ab", "e"]},
        ]
    )
    return {"messages": messages, **fields}


def _mods(dice):
    return [
        {"name": "wild", "params": {"seed": dice.randrange(10**6)}},
        {"name": "wild", "params": {"seed": dice.randrange(10**6), "limit": 2}},
        "asks",
        "greeting",
        {"name": "avoid", "params": {"words": ["ab", "c"]}},
        {"name": "bias_words", "params": {"words": ["face", "bad"], "strength": 4.0}},
        {"name": "replace", "params": {"find": "a", "replacement": "AA"}},
        {"name": "inject_after_tokens", "params": {"count": 3, "text": " so"}},
        {"name": "stop_at", "params": {"phrases": ["cab"]}},
        {"name": "ends", "params": {"at": dice.randrange(2, 8), "calls": dice.random() < 0.5}},
        {"name": "fails", "params": {"at": dice.randrange(2, 30)}},
    ]
