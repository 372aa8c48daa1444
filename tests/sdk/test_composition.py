"""Mods in a list, and mods that contain mods: one semantics for both."""

import pytest
from concordance_sdk import (
    Added,
    ForwardPass,
    InvalidActionError,
    ModDefinitionError,
    ModRaisedError,
    Prefilled,
    mod,
    use,
)
from concordance_sdk.host import definition_of
from concordance_sdk.host.instance import InProcessMod
from concordance_sdk.testing import ByteTokenizer, play
from concordance_shared import InvalidRequestError


@mod
class Tail:
    """Forces a text after the first token."""

    text: str = "!"

    def added(self, event, actions, tokenizer):
        if event.step == 0:
            return actions.force_tokens(tokenizer.encode(self.text))


@mod
class Ban:
    """Never says a byte."""

    byte: int

    def forward_pass(self, event, actions):
        return actions.adjust_logits(ban=[self.byte])


def witness(seen):
    """A mod that keeps the completion by the events that it is told of."""

    @mod(name="witness", on=[Added])
    def look(event, actions):
        del seen[event.step :]
        seen.extend(event.added_tokens)

    return look


def instance(target):
    return InProcessMod(definition_of(target), {}, tokenizer=ByteTokenizer())


# Several mods: how skipped mods are notified


def test_later_mod_receives_the_tokens_that_the_winner_kept():
    seen = []
    played = play(use(Tail, text="123"), witness(seen), script="axxxb")

    assert played.text == "a123b"
    assert bytes(seen[:-1]) == b"a123b"


def test_kept_part_of_forced_tokens_is_in_added_before_the_next_position():
    @mod(on=[Added])
    def trim(event, actions):
        if len(event.added_tokens) > 1:
            return actions.backtrack(2)

    @mod(on=[ForwardPass])
    def force(event, actions):
        if event.step == 0:
            return actions.force_tokens(b"abcd")

    events = []

    @mod(on=[Added])
    def look(event, actions):
        events.append((event.step, bytes(event.added_tokens), event.forced))

    play(force, trim, look, script="..yz", max_tokens=4)

    assert events == [(0, b"ab", True), (2, b"y", False), (3, b"z", False)]


def test_tokens_backtracked_before_a_mod_saw_them_are_not_in_its_added():
    @mod(on=[Added])
    def undo(event, actions):
        if event.step == 2 and not event.forced:
            return actions.backtrack(2, b"XY")

    seen = []
    play(undo, witness(seen), script="abcdef")

    assert bytes(seen[:-1]) == b"aXYdef"


# A mod that contains mods


def test_contained_mods_act_in_order():
    @mod
    class Both:
        def mods(self):
            return [use(Tail, text="1"), use(Tail, text="2")]

    played = play(Both, script="axxb")

    # The first won; the second saw the result, and forced its own text after it.
    assert played.text == "a12b"


def test_contained_mod_acts_as_in_a_list():
    @mod
    class Both:
        def mods(self):
            return [use(Ban, byte=ord("a")), use(Ban, byte=ord("b")), Tail]

    inside = play(Both, script="abc")
    listed = play(use(Ban, byte=ord("a")), use(Ban, byte=ord("b")), Tail, script="abc")

    assert inside.token_ids == listed.token_ids
    assert inside.text.startswith("\0!")


def test_own_handlers_act_before_contained_mods():
    order = []

    def note(name):
        @mod(name=name, on=[Prefilled])
        def say(event, actions):
            order.append(name)

        return say

    @mod
    class Outer:
        def mods(self):
            return [note("b"), note("c")]

        def prefilled(self, event, actions):
            order.append("a")

    play(note("before"), Outer, note("after"), script="")

    assert order == ["before", "a", "b", "c", "after"]


def test_parameters_reach_contained_mods():
    @mod
    class Shout:
        mark: str = "?"

        def __init__(self):
            self.text = self.mark * 2

        def mods(self):
            return [use(Tail, text=self.text)]

    assert play(use(Shout, mark="#"), script="a").text == "a##"


def test_containers_nest_and_errors_name_the_path_to_the_mod():
    @mod
    def wrong(event, actions):
        return actions.adjust_prefill(b"")

    @mod
    class Inner:
        def mods(self):
            return [wrong]

    @mod
    class Outer:
        def mods(self):
            return [Inner]

    with pytest.raises(InvalidActionError, match="mod 'outer/inner/wrong'"):
        play(Outer, script="")


def test_every_request_has_its_own_instances_of_contained_mods():
    @mod
    class Count:
        def __init__(self):
            self.seen = 0

        def added(self, event, actions):
            self.seen += 1
            if self.seen > 3:
                return actions.emit_error("leaked")

    @mod
    class Outer:
        def mods(self):
            return [Count]

    play(Outer, script="ab")
    assert play(Outer, script="ab").text == "ab"


@pytest.mark.parametrize(
    ("outer", "inner", "held"), [(0, 7, 7), (9, 7, 9), (None, 7, None), (3, None, None)]
)
def test_stream_holds_back_the_largest_max_backtrack_of_contained_mods(outer, inner, held):
    @mod(max_backtrack=inner)
    class Inner:
        def added(self, event, actions): ...

    @mod(max_backtrack=outer)
    class Outer:
        def mods(self):
            return [Inner]

        def added(self, event, actions): ...

    assert instance(Outer).max_backtrack == held


def test_mod_that_only_contains_others_handles_no_event():
    @mod
    class Outer:
        def mods(self):
            return [Tail]

    made = instance(Outer)

    assert not made.listens_to(Added)
    assert [each.name for each in made.instances] == ["outer", "outer/tail"]
    assert made.instances[1].listens_to(Added)


# What is wrong is told


def test_mod_that_contains_itself_is_rejected():
    @mod
    class A:
        def mods(self):
            return [B]

    @mod
    class B:
        def mods(self):
            return [A]

    with pytest.raises(ModDefinitionError, match="contains itself: a > b > a"):
        play(A, script="")


@pytest.mark.parametrize(("answer", "words"), [(3, "returned 3"), ([3], "3 is not a mod")])
def test_mods_that_returns_no_list_is_rejected(answer, words):
    @mod
    class Outer:
        def mods(self):
            return answer

    with pytest.raises((ModDefinitionError, ModRaisedError), match=words) as caught:
        play(Outer, script="")
    assert "'outer'" in caught.value.message


def test_missing_parameter_of_a_contained_mod_names_both_mods():
    @mod
    class Outer:
        def mods(self):
            return [Ban]

    with pytest.raises(ModRaisedError, match=r"'outer' raised .* at mods .*'ban'.*byte"):
        play(Outer, script="")


def test_invalid_parameter_is_rejected_by_use():
    with pytest.raises(InvalidRequestError, match="'ban'.*int"):
        use(Ban, byte="x")
    with pytest.raises(InvalidRequestError, match="parameters are: none"):
        use(lambda event, actions: None, byte=3)


def test_mods_with_arguments_is_rejected():
    class Outer:
        def mods(self, tokenizer): ...

    with pytest.raises(ModDefinitionError, match="`mods` takes no argument but self"):
        mod(Outer)


class Find:
    """Finds a text."""

    find: str
    times: int = 1

    def added(self, event, actions): ...


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: use(mod(registered=False)(Find), "cat"),
            "mod 'find' takes its parameters by name: use(Find, find='cat'); its parameters are: ",
        ),
        (lambda: use(Find, {"find": "cat"}), "takes its parameters by name"),
        (lambda: use(lambda event, actions: None, 3), "mod 'lambda' has no parameters, but (3,)"),
        (lambda: use(Find, fnd="cat"), "unknown field `fnd`; did you mean 'find'? Its parameters"),
        (lambda: use(Find), "missing required field `find`; its parameters are: find, times"),
    ],
)
def test_parameters_that_are_not_given_by_name_are_rejected(make, message):
    with pytest.raises(InvalidRequestError) as refused:
        make()

    assert message in refused.value.message


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("find", "'find' is not a mod; give the function or class itself, not its name"),
        (None, "None is not a mod; mark a function or class with @mod"),
        (mod(registered=False)(Find)(), "is an object of the mod Find; give the class"),
    ],
)
def test_a_value_that_is_no_mod_says_what_to_give(target, message):
    for give in (use, lambda given: play(given, says="a")):
        with pytest.raises(ModDefinitionError) as refused:
            give(target)
        assert message in refused.value.message
