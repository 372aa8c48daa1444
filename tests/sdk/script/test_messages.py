"""Messages of mistakes in scripts: each names the remedy, and the author's line."""

import copy
import re

import pytest
from concordance_sdk import Added, mod, use
from concordance_sdk.constraints import ChoicesStrat
from concordance_sdk.script import Text
from concordance_sdk.testing import play
from concordance_shared import InvalidActionError, ModDefinitionError, ModRaisedError


class Holder:
    """An object of the author's that has the run."""

    def __init__(self, run):
        self.run = run


def makes_with_a_holder(run, _):
    """Make a step in a frame in which no variable is the run."""
    return call(Holder(run))


def call(holder):
    return holder.run.generate(max_tokens=3)


def message_of(make, *, says="ab"):
    """The message of a script that yields what `make` makes."""

    @mod(registered=False)
    def wrong(run):
        result = yield run.generate(tokens=1)
        yield make(run, result)

    with pytest.raises(ModRaisedError) as raised:
        play(wrong, says=says)
    return raised.value.message


def test_script_without_yield_is_refused_with_how_a_script_writes():
    with pytest.raises(ModDefinitionError, match=r"takes \(run\).*yields its steps: `yield run\."):

        @mod(registered=False)
        def wrong(run):
            run.force("a")


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda run, _: run.force(None), "run.force takes text or token ids, not None"),
        (lambda run, _: run.force(4), "run.force takes text or token ids, not 4"),
        (lambda run, _: run.force([99999]), "token id 99999 .* outside the vocabulary of 257"),
        (lambda run, _: run.report({"a": 1}), r"by name: `run\.report\(key=value\)`"),
        (lambda run, _: run.tool_call("f", {}), r"by name: `run\.tool_call\(name, key=value\)`"),
        (lambda run, _: run.generate(max_tokens=3), "did you mean 'tokens'"),
        (makes_with_a_holder, "did you mean 'tokens'"),
        (lambda run, _: run.mark().positon, "did you mean 'position'"),
        (lambda run, _: run.generate(stop="x"), "did you mean 'until'"),
        (lambda run, _: run.generate(temp=0.5), "did you mean 'temperature'"),
        (lambda run, _: run.generate(token_temp=0.5), "did you mean 'temperature'"),
        (lambda run, _: run.generate(regex="x"), r"did you mean 'constraint=Regex\(\.\.\.\)'"),
        (lambda run, _: run.generate(choices=[]), r"did you mean 'constraint=ChoicesStrat\(\.\."),
        (lambda run, _: run.generate(schema={}), r"did you mean 'constraint=JsonSchema\(\.\.\.\)'"),
        (lambda run, _: run.ask("?", choices=["a"]), r"did you mean 'constraint=ChoicesStrat\("),
        (lambda run, _: run.mark().rewind(), r"write `run\.rewind\(mark\)`"),
        (lambda run, _: run.append("x"), "did you mean 'force'"),
        (lambda run, _: run.force_tokens([1]), "did you mean 'force'"),
        (lambda run, _: run.backtrack(1), "did you mean 'rewind'"),
        (lambda run, _: run.emit_error("x"), "did you mean 'error'"),
        (lambda run, _: run.generate(keeps_until=True), "`keeps_until` .* without `until`"),
        (lambda run, _: run.report(), r"sends nothing.*run\.report\(key=value\)"),
        (
            lambda run, _: run.ask("ok?", ["yes", "no"]),
            r"the constraint of run\.ask must be a constraint, not \['yes', 'no'\]; for texts .*"
            r"ChoicesStrat\(\['yes', 'no'\]\)",
        ),
    ],
)
def test_wrong_argument_of_a_step_is_refused_with_the_right_one(make, expected):
    message = message_of(make)
    assert re.search(expected, message)
    assert "test_messages.py:" in message


def test_misspelled_step_is_suggested_once_without_all_others():
    message = message_of(lambda run, _: run.genrate())
    assert message.count("'generate'") == 1
    assert "tool_calls" not in message


def test_unknown_step_lists_those_that_exist():
    assert "rewind" in message_of(lambda run, _: run.qqqq())


def test_unknown_attribute_of_a_text_lists_those_that_a_string_lacks():
    message = message_of(lambda _, text: text.text)
    listed = message.partition("attributes: ")[2].partition(" (")[0]
    assert listed == "ended_by, logprobs, probabilities, token_ids, value"


def test_logprobs_that_were_not_requested_are_an_error_that_says_how():
    assert "pass logprobs=True to the step" in message_of(lambda _, text: text.logprobs)


def test_logprobs_of_a_forced_text_are_none():
    found = []

    @mod(registered=False)
    def forces(run):
        found.append((yield run.force("ab")))

    play(forces, says="")
    assert found[0].logprobs == (None, None)


def test_text_without_logprobs_is_a_usable_string():
    text = Text("no", token_ids=(110, 111), ended_by="model")
    assert (text.upper(), copy.copy(text).token_ids) == ("NO", (110, 111))
    with pytest.raises(ValueError, match="logprobs=True"):
        _ = copy.copy(text).logprobs


@pytest.mark.parametrize("called", ["script(n=2)", "Class(n=2)"])
def test_mod_that_is_called_in_mods_is_refused_with_use(called):
    @mod(registered=False)
    def script(run, n: int = 1):
        yield run.force("a" * n)

    @mod(registered=False)
    class Class:
        n: int = 1

        def added(self, event, actions): ...

    @mod(registered=False)
    class Outer:
        def mods(self):
            return [script(n=2)] if called == "script(n=2)" else [Class(n=2)]

    name = called.partition("(")[0]
    with pytest.raises(ModRaisedError, match=rf"a mod is not called.*use\({name}, n=2\)"):
        play(Outer, says="")


@pytest.mark.parametrize("take", [use, lambda mod: play(mod, says="")])
def test_run_of_a_script_in_place_of_the_script_is_refused_with_use(take):
    @mod(registered=False)
    def repeats(run, n: int = 1):
        yield run.force("a" * n)

    with pytest.raises(ModDefinitionError, match=r"called.*use\(repeats, parameter=value\)"):
        take(repeats(None, n=2))


def test_stop_of_a_handler_that_is_not_returned_is_named_as_the_author_wrote_it():
    @mod(registered=False)
    def forgets(event, actions):
        if event.step == 1:
            actions.stop()

    with pytest.raises(InvalidActionError, match=r"write `return actions\.stop\(\)`"):
        play(forgets, says="ab")


def test_constraint_of_a_text_is_still_accepted():
    @mod(registered=False)
    def asks(run):
        yield run.force((yield run.ask("?", ChoicesStrat(["a"]))))

    assert play(asks, says="").text == "a"


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda run: run.mark(), r"run\.mark\(\) needs no `yield`: write `mark = run\.mark\(\)`"),
        (lambda run: run.guard(), r"needs no `yield`: write `with run\.guard\(\):`"),
        (lambda run: run.text, r"'a', which is not a step.*such as run\.text, need no `yield`"),
        (lambda run: run.token_ids, r"such as run\.text, need no `yield`"),
        (lambda run: run.position, r"1, which is not a step.*need no `yield`"),
    ],
)
def test_yield_of_what_needs_none_is_refused_with_how_it_is_written(make, expected):
    message = message_of(lambda run, _: make(run))
    assert re.search(expected, message)
    assert "test_messages.py:" in message


def only_places_here(message):
    return "test_messages.py:" in message and "concordance_sdk" not in message


def test_unyielded_last_step_is_at_the_line_that_made_it():
    @mod(registered=False)
    def forgets(run):
        yield run.generate(tokens=1)
        run.force("x")

    with pytest.raises(ModRaisedError, match=r"made run\.force\(\.\.\.\) at ") as raised:
        play(forgets, says="ab")
    line = forgets.__code__.co_firstlineno + 3
    assert f"test_messages.py:{line} and" in raised.value.message
    assert only_places_here(raised.value.message)


def test_endless_steps_are_at_the_line_of_the_innermost_generator():
    def inner(run):
        while True:
            yield run.force("")

    @mod(registered=False)
    def endless(run):
        yield from inner(run)

    with pytest.raises(ModRaisedError, match="1000 steps at one event") as raised:
        play(endless, says="ab")
    assert f"test_messages.py:{inner.__code__.co_firstlineno + 2};" in raised.value.message
    assert only_places_here(raised.value.message)


def test_yield_after_the_end_is_at_its_line():
    @mod(registered=False)
    def late(run):
        try:
            yield run.generate(tokens=99)
        finally:
            yield run.force("x")

    @mod(on=[Added], registered=False)
    def ends(event, actions):
        return actions.force_output(b"xyz")

    with pytest.raises(ModRaisedError, match="after the request has ended") as raised:
        play(late, ends, says="abc")
    assert only_places_here(raised.value.message)


@pytest.mark.parametrize("is_last", [False, True])
def test_guard_without_a_block_is_refused_at_its_line(is_last):
    @mod(registered=False)
    def unguarded(run):
        yield run.generate(tokens=1)
        run.guard()
        if not is_last:
            yield run.force("x")

    with pytest.raises(ModRaisedError, match=r"write `with run\.guard\(\):`") as raised:
        play(unguarded, says="ab")
    line = unguarded.__code__.co_firstlineno + 3
    assert f"test_messages.py:{line} and did not enter" in raised.value.message
