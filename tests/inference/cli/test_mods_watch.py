"""`concordance mods watch` on a text of the model: what it prints, run by run."""

import pytest
from concordance_inference.cli import mods_watch
from concordance_inference.cli.options import WatchMod
from concordance_shared import InvalidRequestError, ModLoadError

MOD = """
from concordance_sdk import get_conversation, mod

@mod(max_backtrack=4)
class Swap:
    word: str = "Z"

    def added(self, event, actions, tokenizer):
        if event.step == 1 and not event.forced:
            return actions.backtrack(1, tokenizer.encode(self.word))
"""


@pytest.fixture(name="watch")
def _watch(tmp_path, monkeypatch, capsys):
    """Watch a file whose text is each of `saves` in turn; return what is printed."""
    file = tmp_path / "my.py"

    def watch(*saves, **options):
        def changes(path):
            assert path == file
            for text in saves:
                file.unlink() if text is None else file.write_text(text)
                yield
            raise KeyboardInterrupt

        file.write_text("")
        monkeypatch.setattr(mods_watch, "changes", changes)
        mods_watch.run(WatchMod(file=file, **options))
        return capsys.readouterr().out

    return watch


def test_every_save_is_played_and_shown_with_its_log(watch):
    printed = watch(MOD, MOD.replace('"Z"', '"Y"'), says="abc")
    first, second = printed.split(" ---\n")[1:]

    assert first.startswith("a[-b-]{+Z+}c\n")
    assert second.startswith("a[-b-]{+Y+}c\n")
    assert "  backtracked 1, to 1\n  added 1 'Z' (forced)\n" in first
    assert "stop: 4 tokens (1 forced, 1 backtracked)" in first
    assert printed.endswith("\n\n")  # Ctrl-C


def test_errors_are_shown_and_watching_continues(watch):
    printed = watch(
        MOD.replace("def added", "de added"),
        MOD.replace("self.word)", "self.wrod)"),
        None,
        "x = 1",
        MOD,
        says="abc",
    )

    assert "error: " in printed
    assert "invalid syntax" in printed
    assert "'Swap' object has no attribute 'wrod'" in printed
    assert "my.py:10)" in printed
    assert "what was played:\n      1 prefilled" in printed
    assert "there is no file or folder of mods" in printed
    assert "defines no mod" in printed
    assert "a[-b-]{+Z+}c\n" in printed


def test_parameters_and_further_mods_are_named(watch):
    named = ["swap:word=Q", "greeting"]

    assert "{+Ahoy!+}" in watch(MOD, says="abc", mod=named)
    assert "a[-b-]{+Q+}c\n" in watch(MOD, says="abc", mod=["swap:word=Q"])


def test_wrong_parameter_is_shown(watch):
    assert "`wrod`" in watch(MOD, says="abc", mod=["swap:wrod=Q"])


def test_file_with_several_mods_needs_the_option_mod(watch):
    other = "\n@mod\ndef other(event, actions): ...\n"

    assert "defines swap, other; choose with --mod" in watch(MOD + other, says="abc")
    assert "{+Z+}" in watch(MOD + other, says="abc", mod=["swap"])


def test_prompt_is_the_message_that_mods_read(watch):
    shout = """
from concordance_sdk import Prefilled, get_conversation, mod

@mod(on=[Prefilled])
def shout(event, actions, tokenizer):
    return actions.force_output(tokenizer.encode(get_conversation()[-1].text.upper()))
"""

    assert "{+HI+}" in watch(shout, prompt="hi", says="")
    assert "{+HELLO+}" in watch(shout, script="")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "give a prompt"),
        ({"says": "a", "script": "b"}, "one of them"),
        ({"says": "a", "url": "http://127.0.0.1:9"}, "leave out"),
        ({"prompt": "a", "url": "http://127.0.0.1:9", "model": "m"}, "--model"),
        ({"says": "\udcff"}, "not UTF-8"),
    ],
)
def test_options_that_do_not_fit_together_are_refused(watch, options, words):
    with pytest.raises(InvalidRequestError, match=words):
        watch(MOD, **options)


def test_file_that_is_not_there_is_refused_at_the_start(tmp_path):
    with pytest.raises(ModLoadError, match="nowhere"):
        mods_watch.run(WatchMod(file=tmp_path / "nowhere.py", says="a"))


def test_file_that_vanishes_while_it_is_read_is_an_error_of_one_run(watch, monkeypatch):
    load, calls = mods_watch.load_path, []

    def vanishing(path):
        calls.append(path)
        if len(calls) == 1:
            raise FileNotFoundError(2, "No such file", str(path))
        return load(path)

    monkeypatch.setattr(mods_watch, "load_path", vanishing)
    printed = watch(MOD, MOD, says="abc")

    assert "error: [Errno 2] No such file" in printed
    assert "{+Z+}" in printed
