"""A server under bad mods, bad clients and many requests. A tiny model: what is said is noise."""

import concurrent.futures
import json
import os
import re
import shlex
import socket
import subprocess
import threading
import time
import urllib.request
from pathlib import Path

import openai
import pytest
from servers import Server, eventually

pytestmark = pytest.mark.process

HEAD = "from concordance_sdk import Added, ForwardPass, Sampled, mod\n"
BAD_MODS = {
    "raises": ("Sampled", "raise RuntimeError('kaput')", ["RuntimeError", "kaput", "step 2"]),
    "illegal": (
        "Added",
        "return actions.adjust_logits(allow=[1])",
        ["AdjustedLogits", "ForceTokens"],
    ),
    "range": ("ForwardPass", "return actions.force_tokens([10**9])", ["1000000000", "257"]),
    "nan": (
        "ForwardPass",
        "return actions.adjust_logits(logits=[float('nan')] * len(event.logits))",
        ["NaN"],
    ),
    "too-far": ("Added", "return actions.backtrack(10_000)", ["10000", "only 3"]),
    "endless": ("Added", "return actions.backtrack(1)", ["keeps the completion from advancing"]),
    "nothing": ("Sampled", "return 'text'", ["not an action"]),
    "leaves": ("Sampled", "import sys; sys.exit(3)", ["SystemExit"]),
}


def source(event, body):
    when = "" if "backtrack(1)" in body else " and event.step == 2"
    return (
        f"{HEAD}\n@mod\ndef bad(event, actions):\n"
        f"    if isinstance(event, {event}){when}:\n        {body}\n"
    )


def post(url, body):
    key = Path(os.environ["CONCORDANCE_STATE"], "upload.key").read_text().strip()
    headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)


def upload(server, name, text, entrypoint="bad"):
    return post(f"{server.url}/v1/mods", {"name": name, "entrypoint": entrypoint, "source": text})


def ask(server, mod="", content="hi", **fields):
    model = f"tiny-llama/{mod}" if mod else "tiny-llama"
    messages = [{"role": "user", "content": content}]
    fields = {"temperature": 0, "max_tokens": 20, **fields}
    return server.client.chat.completions.create(model=model, messages=messages, **fields)


def text(completion):
    return completion.choices[0].message.content


@pytest.mark.parametrize("name", BAD_MODS)
def test_a_failing_mod_is_named_and_affects_no_other_request(tiny_server, name):
    event, body, words = BAD_MODS[name]
    upload(tiny_server, name, source(event, body))
    expected = text(ask(tiny_server, content="others"))
    with concurrent.futures.ThreadPoolExecutor() as pool:
        others = [pool.submit(ask, tiny_server, content="others") for _ in range(3)]
        with pytest.raises(openai.UnprocessableEntityError) as caught:
            ask(tiny_server, name)

    for word in (f"'{name}'", event, *words):
        assert word in caught.value.message
    assert caught.value.body["mod"] == name
    if "raise" in body:
        assert f"in bad\n    {body}\n" in caught.value.body["traceback"]
    assert [text(other.result()) for other in others] == [expected] * 3


def test_a_failing_mod_in_a_stream_is_an_error_event(tiny_server):
    event, body, _ = BAD_MODS["raises"]
    upload(tiny_server, "raises-late", source(event, body).replace("def bad", "def bad"))
    stream = ask(tiny_server, "raises-late", stream=True)
    with pytest.raises(openai.APIError, match="kaput"):
        list(stream)


REPORTER = """
from concordance_sdk import Finished, mod

@mod(on=[Finished])
def reporter(event, actions):
    return actions.report(length=event.step)
"""


def test_the_official_client_gets_reports_whole_and_in_a_stream(tiny_server):
    upload(tiny_server, "reporter", REPORTER, "reporter")
    report = {"mod": "reporter", "step": 3, "data": {"length": 3}}
    whole = ask(tiny_server, "reporter", max_tokens=3)
    *_, about, end = ask(tiny_server, "reporter", max_tokens=3, stream=True)

    assert whole.concordance["reports"] == [report]
    assert about.concordance == {"reports": [report]}
    assert end.choices[0].finish_reason == "length"


def test_two_hundred_concurrent_requests_have_the_same_completion(tiny_server):
    expected = text(ask(tiny_server))
    with concurrent.futures.ThreadPoolExecutor(200) as pool:
        texts = list(pool.map(lambda _: text(ask(tiny_server)), range(200)))

    assert texts == [expected] * 200


def test_requests_beyond_max_waiting_are_refused_and_the_others_complete(narrow_server):
    expected = text(ask(narrow_server))

    def one(_):
        try:
            return text(ask(narrow_server))
        except openai.RateLimitError as exc:
            return exc.response.headers["retry-after"]

    with concurrent.futures.ThreadPoolExecutor(60) as pool:
        texts = list(pool.map(one, range(60)))

    assert set(texts) == {expected, "1"}
    assert texts.count(expected) >= 9
    assert text(ask(narrow_server)) == expected


def test_disconnecting_during_a_stream_frees_the_row(narrow_server):
    expected = text(ask(narrow_server))
    for _ in range(3):
        stream = ask(narrow_server, stream=True, max_tokens=100)
        next(iter(stream))
        stream.close()

    assert text(ask(narrow_server)) == expected


def test_disconnecting_without_a_stream_frees_the_row(narrow_server):
    messages = [{"role": "user", "content": "x"}]
    body = json.dumps({"model": "tiny-llama", "messages": messages}).encode()
    host, port = re.match(r"http://(.*):(\d+)", narrow_server.url).groups()
    for _ in range(12):  # more than may wait: all of them have to be let go
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(
                b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
                b"Content-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
            )

    eventually(lambda: _is_free(narrow_server))


def _is_free(server):
    try:
        return bool(ask(server, max_tokens=5))
    except openai.RateLimitError:
        return False


def test_a_running_request_keeps_its_version_of_a_mod(tiny_server):
    slow = HEAD + (
        "import time\n@mod\ndef bad(event, actions, tokenizer):\n"
        "    if isinstance(event, Added) and event.step < 10: time.sleep(0.1)\n"
        "    if isinstance(event, ForwardPass) and event.step == 10:\n"
        "        return actions.force_output(tokenizer.encode('{}'))\n"
    )
    upload(tiny_server, "versioned", slow.format("old"))
    with concurrent.futures.ThreadPoolExecutor() as pool:
        running = pool.submit(ask, tiny_server, "versioned")
        time.sleep(0.5)
        upload(tiny_server, "versioned", slow.format("new"))
        after = ask(tiny_server, "versioned")

    assert (text(running.result()), text(after)) == ("old", "new")


def test_a_changed_file_of_mods_is_loaded_again(tiny_server, mods_folder):
    path = mods_folder / "say.py"
    say = HEAD + (
        "@mod(on=[ForwardPass])\ndef say(event, actions, tokenizer):\n"
        "    return actions.force_output(tokenizer.encode('{}'))\n"
    )
    path.write_text(say.format("before"))
    eventually(lambda: "say" in [m["id"] for m in mods_of(tiny_server)])
    assert text(ask(tiny_server, "say")) == "before"
    path.write_text(say.format("after, and longer"))

    eventually(lambda: text(ask(tiny_server, "say")) == "after, and longer")


def mods_of(server):
    with urllib.request.urlopen(f"{server.url}/v1/mods", timeout=10) as response:
        return json.load(response)["data"]


def test_the_server_announces_its_url_model_and_mods(tiny_server):
    for words in (
        "127.0.0.1",
        "tiny-llama",
        "avoid, bias_words, first, greeting",
        "curl http://127.0.0.1",
    ):
        assert words in tiny_server.printed


def test_the_printed_curl_line_works(tiny_server):
    line = re.search(r"curl .*", tiny_server.printed)[0]
    done = subprocess.run(shlex.split(line), capture_output=True, text=True, check=True)

    assert json.loads(done.stdout)["choices"][0]["message"]["content"].startswith("Ahoy!")


def test_a_running_request_completes_after_sigterm(folder):
    server = Server("--model", folder)
    chunks, has_begun = [], threading.Event()
    body = {"model": server.model, "messages": [{"role": "user", "content": "hi"}]}

    def read():
        for chunk in server.client.chat.completions.create(**body, stream=True, max_tokens=100):
            chunks.append(chunk)
            has_begun.set()

    thread = threading.Thread(target=read)
    thread.start()
    assert has_begun.wait(60)
    status = server.stop()
    thread.join()

    assert status == 0
    assert chunks[-1].choices[0].finish_reason


def test_a_failing_mod_has_its_traceback_in_the_verbose_log_with_its_request(folder, tmp_path):
    (tmp_path / "bad.py").write_text(source("Added", "raise ValueError('kaput')"))
    server = Server("--model", folder, "--mods", tmp_path, "-v", "--send-tracebacks")
    with pytest.raises(openai.UnprocessableEntityError) as caught:
        ask(server, "bad")
    text(ask(server, "greeting"))
    server.stop()

    error = caught.value.body
    assert 'bad.py", line' in error["traceback"]
    assert f"{error['request_id']} failed: mod 'bad' raised ValueError at Added" in server.printed
    assert "ValueError: kaput" in server.printed
    assert "raise ValueError('kaput')" in server.printed
    line = f"{error['request_id']}: POST /v1/chat/completions 422 mod_raised with bad: "
    assert line in server.printed
    assert re.search(r" 200 (stop|length) with greeting: .* prompt tokens", server.printed)


PRINTS = """
import logging, sys
from concordance_sdk import mod

@mod
class Prints:
    def __init__(self):
        print("from init")

    def prepare(self, tokenizer):
        logging.getLogger("mine").warning("from %s", "prepare")

    def added(self, event, actions):
        if event.step == 0:
            print("from added", "in two", sep="\\n")
            print("to standard error", file=sys.stderr)
"""


def test_what_a_mod_prints_and_logs_is_in_the_log_with_its_request(folder, tmp_path):
    (tmp_path / "prints.py").write_text(PRINTS)
    server = Server("--model", folder, "--mods", tmp_path)
    completion = ask(server, "prints")
    server.stop()

    request_id = completion.id.removeprefix("chatcmpl-")
    lines = ("from init", "from added", "in two", "to standard error")
    for line in lines:
        assert f"INFO concordance.mods.prints: {request_id}: {line}\n" in server.printed
    assert f"WARNING concordance.mods.prints: {request_id}: from prepare\n" in server.printed


def test_generate_prints_the_lines_of_mods_on_standard_error(run, folder, tmp_path):
    (tmp_path / "prints.py").write_text(PRINTS)
    command = ["generate", "hi", "--model", folder, "--max-tokens", "4"]
    plain = run(*command)
    for options in ([], ["--tokens"]):
        printed = run(*command, "--mods", tmp_path, "--mod", "prints", *options)

        assert printed.stdout.strip() == plain.stdout.strip()
        assert "[prints] from init\n" in printed.stderr
        assert "[prints] from added\n[prints] in two\n" in printed.stderr
