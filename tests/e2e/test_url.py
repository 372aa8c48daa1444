"""Commands that use a running server, in place of a model of their own."""

import signal
import subprocess
import sys
import time

import pytest
from servers import Server, eventually

pytestmark = pytest.mark.process

MODS = """
from concordance_sdk import Added, Prefilled, get_conversation, mod

@mod(max_backtrack=2)
class Swap:
    word: str = "xyz"
    at: int = 3

    def added(self, event, actions, tokenizer):
        if event.step == self.at and not event.forced:
            swapped = actions.backtrack(1, tokenizer.encode(self.word))
            return [actions.report(at=event.step), swapped]

@mod(on=[Added])
def fails(event, actions):
    return 1 / 0 if event.step == 2 else None

@mod(max_backtrack=1)
class Deep:
    def added(self, event, actions):
        return actions.backtrack(6) if event.step == 6 else None

@mod(on=[Prefilled])
def calls(event, actions):
    return actions.tool_calls({"name": "look", "arguments": "{}"})

@mod(on=[Prefilled])
def count(event, actions, tokenizer):
    texts = ",".join(m.text for m in get_conversation())
    return actions.force_output(tokenizer.encode(f"<{texts}>"))
"""


@pytest.fixture(name="mods")
def _mods(tmp_path):
    (tmp_path / "mine.py").write_text(MODS)
    return tmp_path / "mine.py"


def uploads(server):
    return [mod for mod in server.client.get("/mods", cast_to=dict)["data"] if "." in mod["id"]]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--mod", "swap:word=é!,at=4"],
        ["--mod", "swap", "--tokens"],
        ["--mod", "swap", "--mod", "replace:find=xy,replacement=AB", "--tokens"],
        ["--mod", "inject_after_tokens:count=2,text=hm"],
        ["--mod", "deep"],
        ["--mod", "deep", "--tokens"],
        ["--mod", "fails"],
        ["--mod", "fails", "--tokens"],
        ["--mod", "calls"],
        ["--mod", "calls", "--tokens"],
        ["--mod", "swap:at=x"],
        ["--mod", "swap:nosuch=1"],
        ["--mod", "replace:find=x"],
        ["--stop", "xyz", "--mod", "swap"],
        ["--temperature", "1", "--seed", "7", "--top-k", "20"],
        ["--system", "Be brief."],
        ["--regex", "[ab]{3}"],
        ["--choice", "yes", "--choice", "no"],
        ["--min-tokens", "5", "--stop-token-id", "97", "--ignore-eos"],
        ["--stop-token-id", "9999"],
    ],
    ids=" ".join,
)
def test_generate_prints_the_same_with_a_server(run, folder, tiny_server, mods, arguments):
    command = ["generate", "hi", "--max-tokens", "12", "--mods", mods, *arguments]
    here = run(*command, "--model", folder)
    there = run(*command, "--url", tiny_server.url)

    assert there.returncode == here.returncode
    assert there.stdout == here.stdout
    assert there.stderr == here.stderr
    assert uploads(tiny_server) == []


def test_name_of_a_file_in_place_of_a_mod_names_the_mods_of_the_file(
    run, folder, tiny_server, mods
):
    command = ("generate", "hi", "--mods", mods, "--mod", "mine")
    here, there = run(*command, "--model", folder), run(*command, "--url", tiny_server.url)

    for done in (here, there):
        assert done.returncode == 1
        assert "there is no mod 'mine'" in done.stderr
        assert "the file mine.py defines " in done.stderr
        assert "fails, " in done.stderr.partition("mine.py defines ")[2]


@pytest.mark.parametrize("command", ["generate", "chat"])
def test_mods_without_mod_are_noted(run, tiny_server, mods, command):
    prompt = ("hi", "--max-tokens", 1) if command == "generate" else ()
    done = run(command, *prompt, "--mods", mods, "--url", tiny_server.url, typed="/exit\n")

    assert done.returncode == 0
    assert (
        done.stderr == f"concordance: note: --mods {mods} runs no mod by itself; add --mod NAME\n"
    )


def test_place_of_an_error_is_in_the_local_file(run, tiny_server, mods):
    done = run("generate", "hi", "--mods", mods, "--mod", "fails", "--url", tiny_server.url)

    assert f"mod 'fails' raised ZeroDivisionError at Added (step 2): division by zero ({mods}:" in (
        done.stderr
    )
    assert f'  File "{mods}", line' in done.stderr
    assert "    return 1 / 0 if event.step == 2 else None\n" in done.stderr


def test_what_a_mod_prints_is_in_the_log_of_the_server_and_not_here(run, folder, tmp_path):
    (tmp_path / "prints.py").write_text(
        "from concordance_sdk import Prefilled, mod\n"
        "@mod(on=[Prefilled])\ndef prints(event, actions, tokenizer):\n"
        "    print('from prefilled')\n    return actions.force_output(tokenizer.encode('Hello'))\n"
    )
    server = Server("--model", folder)
    done = run("generate", "hi", "--mods", tmp_path, "--mod", "prints", "--url", server.url)
    server.stop()

    assert (done.stdout, done.stderr) == ("Hello\n", "")
    assert "INFO concordance.mods.prints." in server.printed
    assert ": from prefilled\n" in server.printed


def test_folder_is_uploaded_with_the_files_it_imports(run, tiny_server, tmp_path):
    (tmp_path / "words.py").write_text("HELLO = 'Hello'\n")
    (tmp_path / "greets.py").write_text(
        "from concordance_sdk import Prefilled, mod\nfrom words import HELLO\n"
        "@mod(on=[Prefilled])\ndef greets(event, actions, tokenizer):\n"
        "    return actions.force_output(tokenizer.encode(HELLO))\n"
    )
    done = run("generate", "hi", "--mods", tmp_path, "--mod", "greets", "--url", tiny_server.url)

    assert done.stdout == "Hello\n", done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--mod", "nosuch"], ["there is no mod 'nosuch'", "known:"]),
        (["--mods", "/nowhere"], ["/nowhere"]),
        (["--raw"], ["--raw", "leave out"]),
        (["--model", "m"], ["--model", "leave out"]),
        (["--trust-remote-code"], ["--trust-remote-code"]),
    ],
)
def test_errors_with_a_server_are_explained(run, tiny_server, arguments, words):
    done = run("generate", "hi", "--url", tiny_server.url, *arguments)

    assert done.returncode == 1
    for word in words:
        assert word in done.stderr


def test_chat_uses_a_server(run, tiny_server, mods):
    done = run(
        *("chat", "--mods", mods, "--mod", "count", "--url", tiny_server.url),
        typed="one\ntwo\n/exit\n",
    )

    assert "<one>" in done.stdout
    assert "<one,<one>,two>" in done.stdout
    assert uploads(tiny_server) == []


def test_chat_with_a_server_lists_its_models_and_mods_and_resumes(run, tiny_server):
    done = run(
        *("chat", "--url", tiny_server.url, "--max-tokens", 3, "--ignore-eos"),
        typed="hi\n/resume\n/model\n/mods\n/model nosuch\n",
    )

    assert "tiny-llama\n" in done.stdout
    assert "  first" in done.stdout
    assert done.stderr.startswith(
        "concordance: /model: the server has no model 'nosuch'; its models are: tiny-llama"
    )


@pytest.mark.parametrize("source", ["url", "model", "says"])
def test_watch_runs_again_on_a_save_until_ctrl_c(folder, tiny_server, mods, source):
    options = {
        "url": ["hi", "--url", tiny_server.url],
        "model": ["hi", "--model", str(folder)],
        "says": ["--says", "abcdefgh"],
    }[source]
    command = [sys.executable, "-m", "concordance_inference", "mods", "watch", str(mods)]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    log = mods.parent / "log.txt"
    with log.open("w") as out:
        process = subprocess.Popen(
            [*command, *options, "--mod", "swap:word=Q", "--max-tokens", "8"],
            stdout=out,
            stderr=out,
        )
    signal.signal(signal.SIGINT, before)

    def shows(text, times):
        return lambda: log.read_text().count(text) == times or process.poll() is not None

    try:
        eventually(shows("1 backtracked), ", 1), timeout=120)
        assert "{+Q+}" in log.read_text()
        mods.write_text(MODS + "\nsyntax error\n")
        eventually(shows("invalid syntax", 1), timeout=60)
        time.sleep(0.3)
        mods.write_text(MODS)
        eventually(shows("1 backtracked), ", 2), timeout=60)
    finally:
        process.send_signal(signal.SIGINT)
        status = process.wait(60)

    assert status == 0, log.read_text()
    assert "Traceback" not in log.read_text()
    assert uploads(tiny_server) == []
