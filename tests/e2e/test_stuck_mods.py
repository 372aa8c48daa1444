"""Mods whose code does not return: what the log and `/healthz` say, and that the process ends."""

import json
import re
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request

import pytest
from openai import APIStatusError
from servers import COMMAND, Server, eventually

pytestmark = pytest.mark.process

MODS = '''
import time

from concordance_sdk import Added, mod


@mod
class Endless:
    """Loops in a handler."""

    def added(self, event, actions):
        if event.step == 2:
            while True:
                pass


@mod(on=[Added])
def slow(event, actions):
    """Takes two seconds once."""
    if event.step == 1:
        time.sleep(2)


@mod
class Unready:
    """Is never ready, and cannot be interrupted."""

    def prepare(self, tokenizer):
        while True:
            try:
                while True:
                    pass
            except BaseException:
                pass

    def added(self, event, actions): ...
'''


@pytest.fixture(name="mods", scope="module")
def _mods(tmp_path_factory):
    path = tmp_path_factory.mktemp("mods") / "stuck.py"
    path.write_text(MODS)
    return path


@pytest.fixture(name="server")
def _server(folder, mods):
    server = Server("--model", folder, "--mods", mods)
    yield server
    if server.process.poll() is None:
        server.process.kill()
    server.stop()


def health(server):
    try:
        with urllib.request.urlopen(f"{server.url}/healthz", timeout=10) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as exc:
        return exc.code, json.loads(exc.read())


class Asking(threading.Thread):
    """A request on a thread of its own, and its result or error."""

    def __init__(self, server, mod="", **fields):
        super().__init__(daemon=True)
        self.server, self.model, self.fields = server, server.model + mod, fields
        self.text = self.error = None
        self.start()

    def run(self):
        try:
            answer = self.server.client.chat.completions.create(
                model=self.model,
                messages=[{"role": "user", "content": "hi"}],
                max_tokens=8,
                **self.fields,
            )
            if self.fields.get("stream"):
                self.text = "".join(chunk.choices[0].delta.content or "" for chunk in answer)
            else:
                self.text = answer.choices[0].message.content
        except Exception as exc:
            self.error = exc


def stop(server, *, within_s):
    server.process.send_signal(signal.SIGTERM)
    status = server.process.wait(within_s)  # fails after that
    server._reader.join(60)
    return status


def test_a_handler_that_does_not_return_is_named_and_the_process_ends_on_sigterm(server):
    stuck = Asking(server, "/endless")
    eventually(lambda: health(server)[0] == 503)
    waiting, streaming = Asking(server), Asking(server, stream=True)
    status, body = health(server)

    assert status == 503
    assert (body["status"], body["mod"], body["event"]) == ("stuck", "endless", "Added")
    assert body["step"] == 2
    assert body["seconds"] >= 1
    eventually(lambda: "mod 'endless' has not returned from Added (step 2)" in server.printed)
    assert body["request_id"] in server.printed
    assert re.search(r'stuck.py", line \d+, in added\n', server.printed)
    assert stop(server, within_s=12) == 70
    for asking in (stuck, waiting, streaming):
        asking.join(10)
        assert "mod 'endless' has not returned" in str(asking.error)
    assert isinstance(waiting.error, APIStatusError)
    assert waiting.error.status_code == 503
    assert "exiting with status 70" in server.printed


def test_health_is_restored_when_a_slow_handler_returns(server):
    slow = Asking(server, "/slow")
    eventually(lambda: health(server)[0] == 503)

    eventually(lambda: health(server)[0] == 200)
    slow.join(20)
    assert slow.text
    eventually(lambda: "mod 'slow' has returned from Added" in server.printed)
    assert stop(server, within_s=15) == 0


def test_a_mod_that_is_never_ready_affects_only_its_request(server):
    unready = Asking(server, "/unready")
    time.sleep(1.5)

    assert health(server)[0] == 200
    other = Asking(server)
    other.join(20)
    assert other.text
    unready.join(30)
    assert unready.error.code == "mod_timeout"
    eventually(lambda: "mod 'unready' has not returned from prepare" in server.printed)
    assert "its thread keeps running" in server.printed
    assert stop(server, within_s=15) == 0


def test_ctrl_c_ends_generate_although_a_handler_does_not_return(folder, mods):
    command = [*COMMAND, "generate", "hi", "--model", folder, "--mods", mods, "--mod", "endless"]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        [str(part) for part in command],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    signal.signal(signal.SIGINT, before)
    printed = ""
    for line in process.stderr:
        printed += line
        if "has not returned from Added" in line:
            break
    process.send_signal(signal.SIGINT)
    printed += process.stderr.read()

    assert process.wait(15) == 70
    assert "mod 'endless' has not returned from Added (step 2)" in printed
    process.stderr.close()
