"""`concordance mods push` takes what `--mods` loads: each file is pushed to a server and used."""

import textwrap

import pytest

HEAD = "from concordance_sdk import ForwardPass, mod\n"

#: Mods that all answer "yes", each defined in another way.
FILES = {
    "a subclass of a built-in mod": """
        from concordance_sdk import mod
        from concordance_sdk.builtin import InjectAtStart

        @mod
        class Answer(InjectAtStart):
            text: str = "yes"
    """,
    "a constraint": """
        from concordance_sdk.constraints import ChoicesStrat, constrain

        label = constrain(ChoicesStrat(["yes"]), name="answer")
    """,
    "a constraint without a name of its own": """
        from concordance_sdk.constraints import ChoicesStrat, constrain

        constrain(ChoicesStrat(["yes"]), name="answer")
    """,
    "a mod that a factory of the file makes": """
        from concordance_sdk import mod

        def forcing(text):
            @mod(name="answer")
            class Forcing:
                def forward_pass(self, event, actions, tokenizer):
                    if event.step == 0:
                        return actions.force_tokens(tokenizer.encode(text))
            return Forcing

        FORCES_YES = forcing("yes")
    """,
    "a mod made in a loop": """
        from concordance_sdk import mod

        def answers(word):
            def forces(event, actions, tokenizer):
                return actions.force_output(tokenizer.encode("yes")) if event.step == 0 else None
            return forces

        for word in ["answer", "other-word"]:
            mod(name=word)(answers(word))
    """,
    "a mod named unlike its class, beside a function of that name": """
        from concordance_sdk import mod

        def answer(event, actions):
            raise NotImplementedError

        @mod(name="answer")
        class Other:
            def added(self, event, actions, tokenizer):
                if event.step == 0 and not event.forced:
                    n = len(event.added_tokens)
                    return actions.backtrack(n, tokenizer.encode("yes"))
    """,
    "a mod that contains mods": """
        from concordance_sdk import mod, use
        from concordance_sdk.builtin import InjectAtStart

        @mod
        class Answer:
            def mods(self):
                return [use(InjectAtStart, text="yes")]
    """,
}


@pytest.fixture(name="pushed")
def _pushed(run, tmp_path, tiny_server):
    """Write files, push one, and return the output and a completion with the mod."""

    def push(path, *options, name="answer"):
        done = run("mods", "push", tmp_path / path, *options, "--url", tiny_server.url)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"{name} ")
        text = (
            tiny_server.client.chat.completions.create(
                model=f"{tiny_server.model}/{name}",
                messages=[{"role": "user", "content": "hi"}],
                max_tokens=6,
                temperature=0,
            )
            .choices[0]
            .message.content
        )
        run("mods", "rm", name, "--url", tiny_server.url)
        return text

    return push


@pytest.mark.process
@pytest.mark.parametrize("kind", FILES)
def test_push_takes(pushed, tmp_path, kind):
    (tmp_path / "file.py").write_text(textwrap.dedent(FILES[kind]))

    assert "yes" in pushed("file.py", "--mod", "answer")


@pytest.mark.process
@pytest.mark.parametrize("kind", [kind for kind in FILES if "loop" not in kind])
def test_push_takes_the_only_mod_without_the_option_mod(pushed, tmp_path, kind):
    (tmp_path / "file.py").write_text(textwrap.dedent(FILES[kind]))

    assert "yes" in pushed("file.py")


@pytest.mark.process
def test_push_takes_a_file_whose_name_is_no_identifier(pushed, tmp_path):
    (tmp_path / "01-mod.py").write_text(textwrap.dedent(FILES["a constraint"]))

    assert "yes" in pushed("01-mod.py")


@pytest.mark.process
def test_push_takes_a_mod_of_a_folder_by_its_name(pushed, tmp_path):
    folder = tmp_path / "several"
    (folder / "nested").mkdir(parents=True)
    (folder / "one.py").write_text(textwrap.dedent(FILES["a constraint"]))
    (folder / "two.py").write_text(HEAD + "@mod\ndef two(event, actions): ...\n")
    (folder / "nested" / "three.py").write_text(HEAD + "@mod\ndef three(event, actions): ...\n")

    assert "yes" in pushed("several", "--mod", "answer")


@pytest.mark.process
def test_push_takes_a_folder_whose_files_import_each_other_in_both_ways(pushed, tmp_path):
    folder = tmp_path / "mixed"
    folder.mkdir()
    (folder / "words.py").write_text("YES = 'yes'\n")
    (folder / "more.py").write_text("from words import YES\n")
    (folder / "answer.py").write_text(
        HEAD + "from .more import YES\n@mod\ndef answer(event, actions, tokenizer):\n"
        "    return actions.force_output(tokenizer.encode(YES)) if event.step == 0 else None\n"
    )

    assert "yes" in pushed("mixed")


@pytest.mark.process
def test_push_takes_a_mod_that_a_function_of_another_file_makes(pushed, tmp_path):
    (tmp_path / "factory.py").write_text(
        HEAD + "def forcing(text):\n"
        "    @mod(name='answer', on=[ForwardPass])\n"
        "    def force(event, actions, tokenizer):\n"
        "        return actions.force_output(tokenizer.encode(text))\n"
        "    return force\n"
    )
    (tmp_path / "uses.py").write_text("from factory import forcing\nforces_yes = forcing('yes')\n")

    assert "yes" in pushed("uses.py", "--folder", tmp_path)


@pytest.mark.process
def test_push_lists_the_mods_of_a_file_that_has_several(run, tmp_path, tiny_server):
    (tmp_path / "file.py").write_text(textwrap.dedent(FILES["a mod made in a loop"]))
    url = ("--url", tiny_server.url)

    several = run("mods", "push", tmp_path / "file.py", *url)
    unknown = run("mods", "push", tmp_path / "file.py", "--mod", "third", *url)

    assert "file.py defines answer, other-word; choose one with --mod" in several.stderr
    assert "file.py defines answer, other-word, and not 'third'" in unknown.stderr
