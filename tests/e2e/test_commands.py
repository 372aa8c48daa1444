"""The command line, as a user types it."""

import json
import re
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from concordance_inference.models.converted import converted_folder
from concordance_inference.models.embedded import embedded_gguf

ROOT = Path(__file__).parents[2]


@pytest.mark.process
def test_help_imports_nothing_heavy(run):
    code = (
        "import sys\n"
        "sys.argv = ['concordance', '--help']\n"
        "from concordance_inference.cli.entry import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'mlx', 'mlx_lm', 'numpy', 'transformers', 'starlette', 'msgspec', 'rich'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    for command in ("serve", "generate", "chat", "demo", "bench", "models", "mods"):
        assert command in done.stdout


@pytest.mark.parametrize(
    "command",
    [
        *("serve", "generate", "chat", "demo", "bench", "config", "doctor", "models"),
        *(f"mods {name}" for name in ("new", "list", "push", "test", "watch")),
    ],
)
def test_every_option_is_explained(run, command):
    done = run(*command.split(), "--help")
    lines = done.stdout.splitlines()
    options = [i for i, line in enumerate(lines) if line.strip().startswith("--")]

    assert done.returncode == 0
    for i in options:
        name, _, explanation = lines[i].strip().partition("  ")
        following = lines[i + 1].strip() if i + 1 < len(lines) else ""
        assert explanation.strip() or following, name


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["generate", "hi", "--model", "/nowhere"], ["/nowhere", "no folder"]),
        (["generate", "hi", "--mod", "nosuch"], ["nosuch", "known:", "replace"]),
        (["generate", "hi", "--mod", "replace:find=x"], ["replacement", "missing"]),
        (["generate", "hi", "--mod", "replace:x"], ["key=value"]),
        (["generate", "hi", "--mods", "/nowhere"], ["/nowhere"]),
        (["generate", "hi", "--mod", "avoid:words=[a,b]"], ["a list is JSON", '["a","b"]']),
        (["serve", "--mods", "/nowhere", "--port", "0"], ["/nowhere"]),
        (["mods", "list", "--url", "http://127.0.0.1:9"], ["concordance serve"]),
        (["mods", "list", "--url", "nonsense"], ["http://"]),
        (["mods", "new", "No-Good"], ["lower-case"]),
        (["mods", "new", "both", "--function", "--script"], ["choose one"]),
        (["mods", "push", "/nowhere.py"], ["/nowhere.py"]),
        (["mods", "test", "/nowhere.py"], ["/nowhere.py"]),
        (["mods", "list", "--url", "http://["], ["--url"]),
        (["mods", "list", "--url", "http://127.0.0.1:x"], ["127.0.0.1:x"]),
        (["bench", "--quick", "--json", "/nowhere/x.json"], ["/nowhere"]),
        (["generate", "--raw", "\udcff"], ["not UTF-8"]),
        (["generate", "hi", "--stop", "\udcff"], ["not UTF-8"]),
        (["chat", "--system", "\udcff"], ["not UTF-8"]),
        (["generate", "hi", "--json-schema", "/nowhere"], ["--json-schema /nowhere: No such file"]),
        (["chat", "--regex", "a", "--choice", "b"], ["--regex and --choice both give a format"]),
        (["generate", "hi", "--min-tokens", "300"], ["more than --max-tokens 256"]),
    ],
)
def test_a_users_error_is_printed_without_a_traceback(run, arguments, words):
    done = run(*arguments)

    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


def test_a_public_address_is_refused_with_status_2(run):
    for host in ("0.0.0.0", "192.0.2.1", "example.org"):
        done = run("serve", "--host", host, "--port", "0")
        assert done.returncode == 2
        assert "loopback" in done.stderr


def test_a_port_in_use_is_an_error_before_the_model_is_loaded(run):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = run("serve", "--port", taken.getsockname()[1])

    assert done.returncode == 1
    assert "cannot listen" in done.stderr
    assert "loading" not in done.stderr


def test_generate_reads_from_standard_input_and_continues_text(run, folder):
    done = run(
        "generate",
        "-",
        "--model",
        folder,
        "--raw",
        "--max-tokens",
        "3",
        "--mod",
        "greeting:text=Hello",
        typed="abc",
    )

    assert done.stdout.startswith("Hel")


def test_generate_enforces_a_format_with_and_without_the_chat_template(run, folder, tmp_path):
    schema, grammar = tmp_path / "schema.json", tmp_path / "grammar.lark"
    schema.write_text(
        '{"properties": {"a": {"const": 7}}, "additionalProperties": false, '
        '"type": "object", "required": ["a"]}'
    )
    grammar.write_text('start: "x" /[0-9]/ "y"')

    for extra in ((), ("--raw",)):
        asked = ("generate", "hi", "--model", folder, *extra)
        assert run(*asked, "--json-schema", schema).stdout == '{"a": 7}\n'
        assert re.fullmatch(r"x\dy\n", run(*asked, "--grammar", grammar).stdout)


def test_chat_enforces_a_format(run, folder):
    done = run("chat", "--model", folder, "--choice", "maybe", typed="hi\n/exit\n")

    assert "maybe" in done.stdout, done.stderr


def test_format_that_cannot_be_enforced_is_refused_by_the_name_of_its_option(run, folder):
    done = run("generate", "hi", "--model", folder, "--regex", "(")

    assert (done.returncode, "--regex" in done.stderr) == (1, True)


def test_generate_shows_tokens(run, folder):
    done = run(
        "generate",
        "hi",
        "--model",
        folder,
        "--tokens",
        "--max-tokens",
        "6",
        "--mod",
        "greeting:text=Hello",
    )

    assert "Hello" in done.stdout


def test_chat_keeps_the_conversation_until_it_is_left(run, folder, tmp_path):
    (tmp_path / "count.py").write_text(
        "from concordance_sdk import Prefilled, get_conversation, mod\n"
        "@mod(on=[Prefilled])\n"
        "def count(event, actions, tokenizer):\n"
        "    texts = ','.join(m.text for m in get_conversation())\n"
        "    return actions.force_output(tokenizer.encode(f'<{texts}>'))\n"
    )
    done = run(
        "chat",
        "--model",
        folder,
        "--mods",
        tmp_path,
        "--mod",
        "count",
        typed="one\ntwo\n/help\n/reset\nthree\n/exit\n",
    )

    assert "<one>" in done.stdout
    assert "<one,<one>,two>" in done.stdout
    assert "<three>" in done.stdout
    assert "Start a new conversation" in done.stdout
    assert done.returncode == 0


def test_chat_on_a_pipe_prints_replies_only(run, folder):
    greeting = ("--mod", "greeting:text=Hello", "--max-tokens", 5)
    done = run("chat", "--model", folder, *greeting, typed='"""\none\ntwo\n"""\nthree\n')

    assert (done.returncode, done.stdout, done.stderr) == (0, "Hello\nHello\n", "")


def test_chat_on_a_pipe_exits_with_1_if_a_message_failed(run, folder):
    done = run("chat", "--model", folder, typed=f"{'x' * 500}\n/exit\n")

    assert done.returncode == 1
    assert "concordance: " in done.stderr
    assert "Traceback" not in done.stderr


def test_chat_saves_and_continues_a_conversation(run, folder, tmp_path):
    chat = ("chat", "--mod", "greeting:text=Hello", "--conversations", tmp_path)
    run(*chat, "--model", folder, "--max-tokens", 5, typed="one\n/save a\n")
    done = run(*chat, "--load", "a", typed="two\n/save\n/set max_tokens\n")

    saved = json.loads((tmp_path / "a.json").read_text())
    assert "max_tokens = 5\n" in done.stdout
    assert saved["entries"][0]["source"] == str(folder)
    assert [e["content"] for e in saved["entries"] if "content" in e] == [
        *("one", "Hello", "two", "Hello")
    ]


def test_chat_uses_a_profile(run, folder, tmp_path):
    (tmp_path / "chat.toml").write_text(
        "[names]\nuser = 'Ada'\n[prompts.p]\nsystem = 'To {user}'\n"
        "[profiles.greets]\nprompt = 'p'\nmod = 'greeting:text=Hello'\nmax_tokens = 5\n"
    )
    chat = ("chat", "--model", folder, "--profiles", tmp_path / "chat.toml")
    done = run(*chat, "--profile", "greets", typed="hi\n/system\n")

    assert done.stdout == "Hello\nsystem message: To Ada\n"
    assert "did you mean 'greets'" in run(*chat, "--profile", "greet").stderr


REPORTER = """
from concordance_sdk import Finished, mod
@mod(on=[Finished])
def reporter(event, actions):
    return [actions.report(length=event.step), actions.report(reason=event.finish_reason)]
"""


def test_generate_prints_reports_on_standard_error(run, folder, tmp_path):
    (tmp_path / "reporter.py").write_text(REPORTER)
    options = ("--model", folder, "--mods", tmp_path, "--mod", "reporter", "--max-tokens", 1)
    for shown in ((), ("--tokens",)):
        done = run("generate", "hi", *options, *shown)

        lines = done.stderr.splitlines()[-2:]
        assert lines == [
            'reported 1 reporter {"length":1}',
            'reported 1 reporter {"reason":"length"}',
        ]
        assert "reporter" not in done.stdout


def test_chat_prints_reports_after_each_reply(run, folder, tmp_path):
    (tmp_path / "reporter.py").write_text(REPORTER)
    options = ("--model", folder, "--mods", tmp_path, "--mod", "reporter", "--max-tokens", 1)
    done = run("chat", *options, typed="one\ntwo\n")

    assert done.stdout.count('reported 1 reporter {"length":1}') == 2


@pytest.mark.model
def test_demo_shows_four_mods(run):
    done = run("demo", "--max-tokens", "16")

    assert done.returncode == 0, done.stderr
    for words in (
        "greeting",
        "replace:find=Paris",
        "avoid:words=blue",
        "stop_after_sentences:count=1",
        "Lyon",
    ):
        assert words in done.stdout


def test_models_lists_the_default_with_its_folder(run):
    lines = run("models").stdout.splitlines()
    (line,) = [line for line in lines if "SmolLM2-135M-Instruct (default)" in line]

    assert f"{converted_folder(embedded_gguf())}" in line


@pytest.mark.process
def test_a_new_mod_passes_its_own_test_and_can_be_pushed_listed_and_removed(
    run, tmp_path, tiny_server
):
    for arguments in (["my_mod"], ["other", "--function"], ["steps", "--script"]):
        made = run("mods", "new", *arguments, "--folder", tmp_path)
        assert made.returncode == 0, made.stderr
    tests = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", tmp_path],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert tests.returncode == 0, tests.stdout
    again = run("mods", "new", "my_mod", "--folder", tmp_path)
    assert "exists; choose another name" in again.stderr

    url = ("--url", tiny_server.url)
    assert run("mods", "push", tmp_path / "my_mod.py", *url).stdout.startswith("my_mod ")
    assert "my_mod" in run("mods", "list", *url).stdout
    assert run("mods", "rm", "my_mod", *url).stdout == "deleted my_mod\n"
    gone = run("mods", "rm", "my_mod", *url)
    assert gone.returncode == 1
    assert "there is no mod 'my_mod'" in gone.stderr


@pytest.mark.process
def test_the_test_of_a_new_mod_passes_under_the_options_of_pytest_in_the_checkout(run, tmp_path):
    options = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    given = [f"{name}={json.dumps(options[name])}" for name in ("addopts", "pythonpath", "markers")]
    (tmp_path / "pytest.toml").write_text("\n".join(["[pytest]", *given, ""]))
    run("mods", "new", "my_mod", "--folder", tmp_path)

    # -P: as `pytest` alone, which does not put the working folder on the path.
    command = [sys.executable, "-P", "-m", "pytest", "-n", "0", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "test_my_mod.py"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )

    assert done.returncode == 0, done.stdout


@pytest.mark.process
def test_names_in_the_list_of_mods_are_never_shortened(run, tiny_server, monkeypatch, tmp_path):
    name = "no_competitor_is_ever_mentioned_in_any_completion"
    (tmp_path / "long.py").write_text(
        f"from concordance_sdk import mod\n@mod\ndef {name}(event, actions): ...\n"
    )
    url = ("--url", tiny_server.url)
    run("mods", "push", tmp_path / "long.py", *url)
    piped = run("mods", "list", *url).stdout
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    shown = run("mods", "list", *url).stdout
    described = json.loads(run("mods", "list", "--json", *url).stdout)
    run("mods", "rm", name, *url)

    lines = [line for line in piped.splitlines() if name in line]
    assert len(lines) == 1
    assert "Added, Finished" in lines[0]
    assert name in shown
    assert name in [entry["id"] for entry in described]


@pytest.mark.process
def test_a_file_with_several_mods_needs_the_option_mod(run, tmp_path, tiny_server):
    (tmp_path / "two.py").write_text(
        "from concordance_sdk import mod\n"
        "@mod\ndef one(event, actions): ...\n"
        "@mod\ndef two(event, actions): ...\n"
    )
    url = ("--url", tiny_server.url)

    assert "--mod" in run("mods", "push", tmp_path / "two.py", *url).stderr
    assert (
        run(
            "mods", "push", tmp_path / "two.py", "--mod", "two", "--name", "second", *url
        ).returncode
        == 0
    )
    assert run("mods", "rm", "second", *url).returncode == 0


@pytest.mark.process
def test_a_mod_is_pushed_with_the_modules_it_imports_from_its_folder(run, tmp_path, tiny_server):
    mod = (
        "from concordance_sdk import mod\nfrom words import {0}\n"
        "@mod(name={0})\ndef named(event, actions): ...\n"
    )
    (tmp_path / "words.py").write_text("HELLO, HI, BYE = 'hello', 'hi', 'bye'\n")
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "greeting.py").write_text(mod.format("HELLO"))
    url = ("--url", tiny_server.url)

    file = run("mods", "push", tmp_path / "pack" / "greeting.py", "--folder", tmp_path, *url)
    assert file.stdout.startswith("hello "), file.stderr
    for name in ("HI", "BYE"):
        (tmp_path / f"{name.lower()}.py").write_text(mod.format(name))
    folder = run("mods", "push", tmp_path, "--mod", "hi", *url)
    assert folder.stdout.startswith("hi "), folder.stderr
    assert "defines bye, hi; choose one with --mod" in run("mods", "push", tmp_path, *url).stderr
    assert "no file or folder" in run("mods", "push", tmp_path / "nowhere", *url).stderr
    for name in ("hello", "hi"):
        assert run("mods", "rm", name, *url).returncode == 0


@pytest.mark.process
@pytest.mark.parametrize("home", ["older", "mods.older", "."])
def test_a_folder_of_the_older_sdk_is_pushed_as_it_is_loaded(run, tmp_path, tiny_server, home):
    folder = tmp_path / "mods" / "older"
    (folder / "words").mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "words" / "greetings.py").write_text("HELLO = 'hello'\n")
    words = ".words" if home == "." else f"{home}.words"
    (folder / "mod.py").write_text(
        f"from quote_mod_sdk import mod\nfrom {words}.greetings import HELLO\n"
        "@mod\ndef greets(event, actions, tokenizer):\n"
        "    return actions.force_output(tokenizer.encode(HELLO)) if event.step == 0 else None\n"
    )
    url = ("--url", tiny_server.url)
    pushed = run("mods", "push", folder, *url)

    assert pushed.stdout.startswith("greets "), pushed.stderr
    assert run("mods", "test", folder / "mod.py", "--skip-tests").returncode == 1
    assert run("mods", "rm", "greets", *url).returncode == 0


@pytest.mark.process
def test_a_new_mod_passes_its_tests_and_the_check(run, tmp_path):
    run("mods", "new", "my_mod", "--folder", tmp_path)
    run("mods", "new", "other", "--function", "--folder", tmp_path)
    (tmp_path / "test_other.py").write_text("def test_that_is_not_asked_for(): assert 0")
    run("mods", "new", "steps", "--script", "--folder", tmp_path)
    steps = run("mods", "test", tmp_path / "steps.py")
    done = run("mods", "test", tmp_path / "my_mod.py")

    assert steps.returncode == 0, steps.stderr + steps.stdout
    assert done.returncode == 0, done.stderr + done.stdout
    assert "tests of test_my_mod.py\n" in done.stdout
    assert "note" not in done.stdout + steps.stdout
    assert "ok    interleaved requests are independent" in done.stdout
    assert run("mods", "test", tmp_path / "other.py").returncode == 1
    assert run("mods", "test", tmp_path / "other.py", "--skip-tests").returncode == 0


BAD = """
import random
from concordance_sdk import Added, mod

@mod(on=[Added])
def dice(event, actions):
    if event.step == 0:
        return actions.force_tokens([random.randrange(256) for _ in range(9)])

@mod
class Needs:
    word: str

    def added(self, event, actions): ...
"""


def test_a_failed_conformance_check_is_named(run, tmp_path):
    (tmp_path / "bad.py").write_text(BAD)
    done = run("mods", "test", tmp_path / "bad.py")

    assert done.returncode == 1
    assert "no tests: none in bad.py, and no test_bad.py" in done.stdout
    assert "FAIL  the same request twice" in done.stdout
    assert "dice failed" in done.stderr


def test_a_mod_with_required_parameters_is_reported_as_not_checked(run, tmp_path):
    (tmp_path / "bad.py").write_text(BAD)
    done = run("mods", "test", tmp_path / "bad.py", "--mod", "needs")
    reason = "not checked, since it needs parameters; give them by --mod needs:key=value"

    assert done.returncode == 1  # scripts rely on the status
    assert reason in done.stdout
    assert f"needs was {reason}" in done.stderr
    assert "failed" not in done.stderr


def test_an_invalid_parameter_is_reported(run, tmp_path):
    (tmp_path / "bad.py").write_text(BAD)
    done = run("mods", "test", tmp_path / "bad.py", "--mod", "needs:wrod=x")

    assert done.returncode == 1
    assert "wrod" in done.stderr
    assert "not checked" not in done.stderr


GOOD = """
from concordance_sdk import ForwardPass, mod

@mod(on=[ForwardPass])
def greet(event, actions):
    if event.step == 0:
        return actions.force_tokens(b"Hi ")

def test_it_greets(play):
    assert play(greet, says="you").text == {0!r}
"""


@pytest.mark.process
def test_the_tests_in_a_file_of_mods_are_run_and_those_of_others_are_not(run, tmp_path):
    (tmp_path / "good.py").write_text(GOOD.format("Hi you"))
    (tmp_path / "poor.py").write_text(GOOD.format("Hello"))
    (tmp_path / "test_that_is_not_asked_for.py").write_text("def test_it(): assert 0")

    assert run("mods", "test", tmp_path / "good.py").returncode == 0
    (tmp_path / "untested.py").write_text(GOOD.format("").partition("def test_it")[0])
    untested = run("mods", "test", tmp_path / "untested.py")
    assert untested.returncode == 0
    assert "no tests: none in untested.py, and no test_untested.py" in untested.stdout
    poor = run("mods", "test", tmp_path / "poor.py")
    assert poor.returncode == 1
    assert "its own tests failed" in poor.stderr


def test_a_mod_named_like_a_test_is_not_run_as_one(run, tmp_path):
    named = GOOD.replace("greet", "test_greet").partition("def test_it")[0]
    (tmp_path / "named.py").write_text(f"{named}class TestNothing: ...\n")
    done = run("mods", "test", tmp_path / "named.py")

    assert done.returncode == 0, done.stderr
    assert "no tests: none in named.py, and no test_named.py" in done.stdout


@pytest.mark.process
def test_the_tests_in_the_files_of_a_folder_are_run_too(run, tmp_path):
    (tmp_path / "poor.py").write_text(GOOD.format("Hello"))
    (tmp_path / "test_poor.py").write_text("def test_it(): assert True")

    assert "its own tests failed" in run("mods", "test", tmp_path).stderr


def test_a_mod_is_checked_with_the_given_parameters(run, tmp_path):
    (tmp_path / "bad.py").write_text(BAD)

    assert run("mods", "test", tmp_path / "bad.py", "--mod", "needs:word=x").returncode == 0
    unknown = run("mods", "test", tmp_path / "bad.py", "--mod", "nope")
    assert "defines dice, needs, and not 'nope'" in unknown.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["serve", "--port", "99999"],
        ["serve", "--port", "-1"],
        ["serve", "--port", "x"],
        ["serve", "--host", "0.0.0.0"],
        ["serve", "--host", ""],
        ["serve", "--host", "\0"],
        *(
            ["serve", option, value]
            for option in ("--kv-memory", "--prefix-memory")
            for value in ("inf", "-inf", "nan", "-1", "1e400", "x")
        ),
        *(
            ["serve", option, value]
            for option in ("--max-rows", "--max-waiting", "--chunk", "--latency-target")
            for value in ("-1", "1e3", "9" * 30)
        ),
        *(
            ["generate", "hi", option, value]
            for option in ("--temperature", "--top-p", "--min-p")
            for value in ("inf", "nan", "-1", "x")
        ),
        *(
            ["generate", "hi", option, value]
            for option in ("--max-tokens", "--top-k", "--seed")
            for value in ("1.5", "9" * 30, "x")
        ),
        ["bench", "--rounds", "0"],
        ["bench", "--tokens", "-1"],
        ["generate"],
        ["nosuch"],
        ["serve", "--nosuch"],
    ],
)
def test_an_invalid_option_is_reported_without_a_traceback(run, arguments):
    done = run(*arguments)

    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.strip()


def test_standard_input_that_is_not_utf_8_is_an_error(run):
    done = run("generate", "-", typed=b"caf\xe9")

    assert done.returncode == 1
    assert done.stderr.startswith("concordance: standard input is not UTF-8")


@pytest.mark.process
@pytest.mark.parametrize(
    ("command", "config"),
    [
        (["serve", "--port", "0"], None),
        (["serve", "--port", "0"], "{nonsense"),
        (["generate", "hi"], "[]"),
    ],
)
def test_a_broken_model_folder_is_reported_and_the_process_exits(tmp_path, command, config):
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    arguments = [*command, "--model", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "concordance_inference", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1, (done.returncode, done.stderr)
    assert "Traceback" not in done.stderr
    assert "concordance: " in done.stderr
    assert "terminate" not in done.stderr


def test_generate_prints_the_traceback_of_a_mod_that_raises(run, folder, tmp_path):
    (tmp_path / "bad.py").write_text(
        "from concordance_sdk import mod\n\ndef inner():\n    raise ValueError('kaput')\n\n"
        "@mod\ndef bad(event, actions):\n    inner()\n"
    )
    done = run("generate", "hi", "--model", folder, "--mods", tmp_path, "--mod", "bad")

    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert [line.rpartition(", in ")[2] for line in lines if "  File" in line] == ["bad", "inner"]
    assert lines[-1].startswith("concordance: mod 'bad' raised ValueError at Prefilled (step 0)")
