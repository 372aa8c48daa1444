"""`kill -9` of each process of a server: the others continue or end, and a restart works."""

import os
import random
import signal
import threading
import time
from pathlib import Path

import openai
import psutil
import pytest
from concordance_inference.keys.upload_key import found_upload_key
from openai import OpenAI
from servers import Server, eventually

pytestmark = pytest.mark.process

SOURCE = """
from concordance_sdk import Added, mod

@mod(on=[Added])
def forces(event, actions, tokenizer):
    if event.step % 7 == 3:
        return actions.force_tokens(tokenizer.encode("abc"))
"""

#: A request whose mod has lost its process says so with one of these.
LOST = {"mod_died", "mod_load_failed", "sandbox_unavailable"}


@pytest.fixture(name="state")
def _state(tmp_path):
    return {"CONCORDANCE_STATE": str(tmp_path / "state")}


@pytest.fixture(name="server")
def _server(folder, state):
    server = Server("--model", folder, env=state)
    yield server
    server.stop()


def upload(server, state):
    key = found_upload_key(state_file(state))
    client = OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0, timeout=60)
    body = {"name": "forces", "entrypoint": "forces", "source": SOURCE}
    client.post("/mods", body=body, cast_to=object)


def state_file(state):
    return Path(state["CONCORDANCE_STATE"]) / "upload.key"


class Stream(threading.Thread):
    """One request in a thread: its text, or the code of its error."""

    def __init__(self, server, mods=()):
        super().__init__()
        self.server, self.mods, self.text, self.code = server, mods, "", None
        self.start()

    def run(self):
        try:
            stream = self.server.client.chat.completions.create(
                model=self.server.model,
                messages=[{"role": "user", "content": "hi"}],
                max_tokens=90,
                temperature=0,
                stream=True,
                extra_body={"mods": list(self.mods), "ignore_eos": True},
            )
            for chunk in stream:
                if chunk.choices:
                    self.text += chunk.choices[0].delta.content or ""
        except openai.APIError as exc:
            self.code = exc.code
        except Exception as exc:  # the server was killed
            self.code = repr(exc)

    def result(self):
        self.join(60)
        return self.text, self.code


def zygote_of(server):
    (zygote,) = psutil.Process(server.process.pid).children()
    return zygote


def can_run_mods(server):
    text, code = Stream(server, ["forces"]).result()
    assert code is None or code in LOST, code
    return text if code is None else ""


def test_killed_workers_and_zygotes_cost_only_the_requests_that_use_them(server, state):
    dice = random.Random("processes")
    upload(server, state)
    alone, modded = Stream(server).result(), can_run_mods(server)
    assert alone[1] is None
    assert modded
    for target in ("zygote", "worker", "zygote", "worker", "worker"):
        plain = [Stream(server) for _ in range(3)]
        with_mod = Stream(server, ["forces"])
        time.sleep(dice.uniform(0, 0.05))
        zygote = zygote_of(server)
        workers = zygote.children()
        killed = [zygote] if target == "zygote" else workers
        for process in killed:
            kill_9(process)
        assert [each.result() for each in plain] == [alone] * 3, server.printed
        text, code = with_mod.result()
        assert (text == modded and code is None) or code in LOST, (text, code)
        eventually(lambda: can_run_mods(server) == modded)
        assert not any(map(is_alive, workers)) or target == "worker"


def kill_9(process):
    try:
        os.kill(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def is_alive(process):
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("moment_s", [0.0, 0.1])
def test_killed_server_leaves_no_process_and_starts_again(folder, state, moment_s):
    server = Server("--model", folder, env=state)
    upload(server, state)
    key = found_upload_key(state_file(state))
    streams = [Stream(server, mods) for mods in ((), ["forces"], ["forces"])]
    time.sleep(moment_s)
    children = psutil.Process(server.process.pid).children(recursive=True)
    assert children
    server.process.kill()
    eventually(lambda: not any(map(is_alive, children)), timeout=5)
    for each in streams:
        each.join(60)
    server.stop()
    assert found_upload_key(state_file(state)) == key
    again = Server("--model", folder, env=state)
    upload(again, state)
    assert can_run_mods(again)
    assert again.stop() == 0
