"""Scripts: how the generator is run on top of events and actions."""

import contextlib

import pytest
from concordance_sdk import Added, Finished, ForwardPass, Sampled, mod, use
from concordance_sdk.builtin import InjectAtStart, Replace
from concordance_sdk.constraints import ChoicesStrat
from concordance_sdk.script import EndedBy, Rewound
from concordance_sdk.testing import check_conformance, play
from concordance_shared import (
    InvalidActionError,
    InvalidRequestError,
    ModBudgetError,
    ModDefinitionError,
    ModRaisedError,
)

YES_NO = ChoicesStrat(["yes", "no"])


@mod
def self_check(run, question: str = " Right? "):
    """Asks whether the answer is right, and tries once more."""
    start = run.mark()
    yield run.generate()
    if (yield run.ask(question, YES_NO)) == "no":
        yield run.rewind(start)
        yield run.force("Again: ")
        yield run.generate()


def test_steps_run_from_top_to_bottom():
    @mod
    def greets(run):
        yield run.force("Dear ")
        name = yield run.generate(tokens=3)
        yield run.force(f", {name.upper()}!")

    assert play(greets, says="Bob<eos>").text == "Dear Bob, BOB!"


def test_completion_continues_freely_after_the_script():
    @mod
    def greets(run):
        yield run.force("Dear ")

    assert play(greets, says="Bob").text == "Dear Bob"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("verdict", "text"), [("y", "It is 5."), ("n", "Again: 6.")], ids=["right", "wrong"]
)
def test_answer_is_written_again_if_the_model_finds_it_wrong(verdict, text, stream):
    says = f"It is 5.<eos>{verdict}6."
    assert play(self_check, says=says, stream=stream).text == text


def test_completion_that_had_ended_ends_there_after_an_erased_question():
    played = play(self_check, says="It is 5.<eos>y and more")
    assert (played.text, played.finish_reason) == ("It is 5.", "stop")


def test_rewind_and_force_at_one_event_are_one_action_and_one_forward_pass():
    played = play(self_check, says="It is 5.<eos>n6.")
    at = next(i for i, line in enumerate(played.log) if line.startswith("backtracked 18"))
    assert played.log[at + 1] == "added 0 'Again: ' (forced)"
    # the prompt, "It is 5.", the question, "Again: ", "6."
    assert played.passes == 1 + 8 + 1 + 1 + 2


def test_scripts_compose_by_yield_from():
    def twice(run, text):
        yield run.force(text)
        yield run.force(text)
        return run.position

    @mod
    def outer(run):
        position = yield from twice(run, "ab")
        yield run.force(f" {position}")

    assert play(outer, says="").text == "abab 4"


def test_finally_runs_when_the_request_ends_for_every_reason():
    ended = []

    @mod
    def cleans(run):
        try:
            yield run.generate(tokens=50)
            yield run.generate(tokens=50)
        finally:
            ended.append(run.text)

    @mod(on=[Added])
    def fails(event, actions):
        return actions.emit_error("no") if event.step == 1 else None

    play(cleans, says="abc", max_tokens=2)
    with pytest.raises(Exception, match="no"):
        play(cleans, fails, says="abc")
    assert ended == ["ab", "ab"]


def test_reports_in_finally_are_sent_without_yield():
    @mod
    def measures(run):
        try:
            yield run.generate(tokens=99)
        finally:
            run.report(length=run.position)

    assert play(measures, says="abcdef", max_tokens=4).reports[0].data == {"length": 4}


def test_reports_are_sent_beside_what_the_script_does_at_the_same_event():
    @mod
    def measures(run):
        yield run.report(at="start")
        text = yield run.generate(sentences=1)
        yield run.report(text=text, at="end")
        yield run.force(" That is all.")
        yield run.stop()

    played = play(measures, says="One. Two.")
    assert played.text == "One. That is all."
    assert [report.data for report in played.reports] == [
        {"at": "start"},
        {"text": "One.", "at": "end"},
    ]


def test_parameters_are_the_arguments_after_the_run():
    @mod
    def repeats(run, text: str, times: int = 2, words: list[str] = ["x"]):  # noqa: B006
        words.append("y")
        for _ in range(times):
            yield run.force(text + words[0] + str(len(words)))

    assert play(repeats, parameters={"text": "a"}, says="").text == "ax2ax2"
    assert play(repeats, parameters={"text": "b", "times": 1}, says="").text == "bx2"
    with pytest.raises(InvalidRequestError, match=r"'repeats'.*times"):
        play(repeats, parameters={"text": "b", "times": "two"}, says="")
    with pytest.raises(InvalidRequestError, match="text"):
        play(repeats, says="")


def test_script_starts_after_what_earlier_mods_write_at_the_start():
    greeting = use(InjectAtStart, text="Hi! ")
    assert play(greeting, self_check, says="5.<eos>n6.").text == "Hi! Again: 6."


def test_marks_made_before_the_first_step_are_at_its_position():
    positions = []

    @mod
    def marks(run):
        mark = run.mark()
        yield run.report(x=1)
        yield run.force("ab")
        positions.append(mark.position)

    play(use(InjectAtStart, text="Hi! "), marks, says="")
    assert positions == [4]


def test_script_that_refuses_the_request_at_once_needs_no_forward_pass():
    @mod
    def closed(run):
        yield run.report(open=False)
        yield run.tool_call("notify", reason="closed")

    played = play(closed, says="Hello")
    assert (played.passes, played.finish_reason) == (0, "tool_calls")
    assert played.tool_calls[0].function.arguments == '{"reason":"closed"}'
    assert played.reports[0].data == {"open": False}


def test_tool_call_follows_the_text_that_was_forced_at_the_same_event():
    @mod
    def calls(run):
        yield run.force("Looking it up.")
        yield run.tool_call("search", query="tides")

    played = play(calls, says="Hello")
    assert (played.text, played.finish_reason) == ("Looking it up.", "tool_calls")


def test_error_ends_the_request():
    @mod
    def refuses(run):
        yield run.generate(tokens=2)
        yield run.error("not like this")

    with pytest.raises(Exception, match="not like this"):
        play(refuses, says="abc")


def test_stop_ends_the_completion_and_the_script():
    after, ended = [], []

    @mod
    def stops(run):
        try:
            yield run.generate(tokens=2)
            yield run.stop()
            after.append(run.text)
            yield run.force("more")
        finally:
            ended.append(run.text)

    assert play(stops, says="abc").text == "ab"
    assert (after, ended) == ([], ["ab"])


def test_two_stops_and_an_end_of_the_model_end_the_completion_once():
    @mod
    def stops(run):
        yield run.generate()
        yield run.stop()

    played = play(stops, says="ab")
    assert (played.text, len(played.token_ids)) == ("ab", 3)


def test_several_scripts_in_one_request_each_run():
    @mod
    def first(run):
        yield run.force("1")
        yield run.generate(tokens=1)
        yield run.force("1")

    @mod
    def second(run):
        yield run.force("2")
        yield run.generate(tokens=2)
        yield run.force("2")

    assert play(first, second, says="abcdef").text == "121a2bcdef"


@pytest.mark.parametrize("stream", [False, True])
def test_scripts_that_ask_at_once_begin_one_after_the_other(stream):
    @mod
    def asks(run, tag: str = ""):
        yield run.force(f"<{tag}>")
        yield run.report(verdict=str((yield run.ask(f" Is {tag} right? ", YES_NO))))

    scripts = [use(asks, tag=str(i)) for i in range(8)]
    played = play(*scripts, says="ynynynynrest", stream=stream)
    assert played.text == "<0><1><2><3><4><5><6><7>rest"
    assert [report.data["verdict"] for report in played.reports] == ["yes", "no"] * 4


@pytest.mark.parametrize("stream", [False, True])
def test_rewound_is_raised_after_the_question_that_the_other_script_asks_there(stream):
    @mod
    def goes_back(run):
        start = run.mark()
        yield run.generate(tokens=4)
        yield run.rewind(start)
        yield run.ask(" Right? ", YES_NO)

    @mod
    def guarded(run):
        yield run.generate(tokens=2)
        try:
            with run.guard():
                yield run.generate()
        except Rewound:
            yield run.force("again ")

    assert play(goes_back, guarded, says="abcdyrest", stream=stream).text == "again rest"


def test_question_of_one_script_is_not_text_of_another():
    seen = []

    @mod
    def asks(run):
        yield run.generate(tokens=2)
        yield run.ask(" Sure? ", YES_NO)

    @mod
    def reads(run):
        seen.append((yield run.generate(tokens=5)))
        yield run.force("!")

    assert play(asks, reads, says="abycdefg").text == "abcde!fg"
    assert seen == ["abcde"]
    assert play(reads, asks, says="abycdefg").text == "abcde!fg"


def test_replacements_of_another_mod_are_in_the_text_of_the_step():
    seen = []

    @mod
    def reads(run):
        seen.append((yield run.generate()))

    polite = use(Replace, find="no", replacement="not yet")
    for mods in ([polite, reads], [reads, polite]):
        assert play(*mods, says="no, no.").text == "not yet, not yet."
    assert seen == ["not yet, not yet."] * 2


@mod(max_backtrack=None)
class Cuts:
    """Cuts the completion to a length, once, when it has reached another."""

    at: int
    to: int

    def __init__(self):
        self.is_done = False

    def added(self, event, actions):
        length = event.step + len(event.added_tokens)
        if not self.is_done and length >= self.at:
            self.is_done = True
            return actions.backtrack(length - self.to)


@mod
def titled(run):
    yield run.force("Title: ")
    yield run.generate()


@mod
def restores(run):
    while True:
        yield run.force("Title: ")
        try:
            with run.guard():
                yield run.generate()
        except Rewound:
            continue
        return


@pytest.mark.parametrize("first", [False, True])
def test_step_continues_where_another_mod_cut_the_text_of_earlier_steps(first):
    cuts = use(Cuts, at=9, to=3)
    mods = [cuts, titled] if first else [titled, cuts]
    assert play(*mods, says="abcdef").text == "Titcdef"


@pytest.mark.parametrize("first", [False, True])
def test_guard_raises_rewound_where_another_mod_cuts_the_text_before_it(first):
    cuts = use(Cuts, at=9, to=3)
    mods = [cuts, restores] if first else [restores, cuts]
    assert play(*mods, says="abcdef").text == "TitTitle: cdef"


def test_guard_does_not_raise_for_a_cut_of_the_text_after_it():
    assert play(restores, use(Cuts, at=9, to=8), says="abcdef").text == "Title: acdef"


def test_mark_moves_to_where_another_mod_cut_the_text_before_it():
    marks = []

    @mod
    def marked(run):
        yield run.force("Title: ")
        marks.append(run.mark())
        yield run.generate(tokens=4)
        yield run.rewind(marks[0])

    assert play(marked, use(Cuts, at=9, to=3), says="abcdefgh<eos>").text == "Titgh"
    assert (marks[0].position, marks[0].is_intact) == (3, False)


def test_stream_shows_the_text_before_a_mark_and_holds_back_the_text_after_it():
    released = []

    @mod
    def marked(run):
        yield run.generate(tokens=3)
        with run.mark() as mark:
            yield run.generate(tokens=3)
            yield run.rewind(mark)
        yield run.generate(tokens=3)

    @mod(max_backtrack=0)
    class Watch:
        def forward_pass(self, event, actions):
            from concordance_sdk.request_context import current_request

            released.append((event.step, current_request().holds.first()))

    assert play(Watch, marked, says="abcdefghi<eos>", stream=True).text == "abcghi"
    assert released[:7] == [(0, None), (1, None), (2, None), (3, 3), (4, 3), (5, 3), (3, None)]


def test_rewinding_to_a_released_mark_is_an_error():
    @mod
    def late(run):
        with run.mark() as mark:
            yield run.generate(tokens=1)
        yield run.rewind(mark)

    with pytest.raises(ModRaisedError, match="released"):
        play(late, says="ab")


def test_errors_name_the_line_of_the_script():
    @mod
    def broken(run):
        yield run.generate(tokens=1)
        raise KeyError("x")

    with pytest.raises(ModRaisedError, match=r"'broken' raised KeyError.*test_script\.py"):
        play(broken, says="ab")


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda run: "text", "'text', which is not a step"),
        (lambda run: None, "None, which is not a step"),
        (lambda run: (each for each in [run.stop()]), "yield from"),
        (lambda run: [run.force("a"), run.stop()], "a list: yield each step by itself"),
        (lambda run: run.generate, r"without calling it: write `yield run.generate\(...\)`"),
        (lambda run: run.mark(), "a Mark; run.mark\\(\\) needs no `yield`"),
    ],
)
def test_yielding_something_else_than_a_step_is_an_error(make, expected):
    @mod
    def wrong(run):
        yield make(run)

    with pytest.raises(ModRaisedError, match=expected):
        play(wrong, says="ab")


def test_step_after_a_caught_error_of_a_yield_runs_once():
    @mod
    def recovers(run):
        for _ in range(2):  # at the first event, and at a later one
            try:
                yield "text"
            except TypeError:
                yield run.force("x")
        yield run.stop()

    assert play(recovers, says="ab").text == "xx"


def test_script_that_yields_wrong_things_for_ever_ends_with_an_error():
    @mod
    def stubborn(run):
        while True:
            with contextlib.suppress(TypeError):
                yield "text"

    with pytest.raises(ModRaisedError, match="1000 steps at one event, the last at .*test_script"):
        play(stubborn, says="ab")


@pytest.mark.parametrize(
    ("forced", "expected"),
    [
        (None, "run.force takes text or token ids, not None"),
        (["a", "b"], "one text, or token ids, which are integers, not 'a'"),
        ([1.5], "integers, not 1.5"),
        ([97, 999], "token id 999 of run.force is outside the vocabulary of 257 tokens"),
    ],
)
def test_force_refuses_what_is_neither_text_nor_token_ids(forced, expected):
    @mod
    def wrong(run):
        yield run.force(forced)

    with pytest.raises(ModRaisedError, match=f"{expected}.*test_script"):
        play(wrong, says="ab")


def test_mark_of_another_request_is_refused():
    marks = []

    @mod
    def shares(run):
        marks.append(run.mark())
        yield run.generate(tokens=2)
        yield run.rewind(marks[0])

    play(shares, says="abc")
    with pytest.raises(ModRaisedError, match="the mark is of another request"):
        play(shares, says="abc")


def test_yielding_an_action_is_an_error_that_names_the_steps():
    from concordance_sdk import Actions

    @mod
    def wrong(run):
        yield Actions().force_tokens([1])

    with pytest.raises(ModRaisedError, match=r"ForceTokens, an action of handlers.*run.force"):
        play(wrong, says="ab")


def test_step_that_is_made_and_not_yielded_is_an_error():
    @mod
    def forgets(run):
        run.force("a")
        yield run.generate()

    @mod
    def forgets_last(run):
        yield run.generate()
        run.stop()

    for script in (forgets, forgets_last):
        with pytest.raises(
            ModRaisedError, match=r"at .*test_script\.py:\d+ and did not yield it.*`yield run\."
        ):
            play(script, says="ab")


def test_steps_made_in_advance_may_be_yielded_in_order():
    @mod
    def prepared(run):
        steps = [run.force("a"), run.force("b")]
        yield steps[0]
        yield steps[1]

    assert play(prepared, says="").text == "ab"


def test_step_cannot_be_yielded_twice():
    @mod
    def twice(run):
        step = run.force("a")
        yield step
        yield step

    with pytest.raises(ModRaisedError, match="second time"):
        play(twice, says="")


def test_yield_in_finally_after_the_end_is_an_error_that_says_what_works():
    @mod
    def wrong(run):
        try:
            yield run.generate(tokens=99)
        finally:
            yield run.force("bye")

    @mod(on=[Added])
    def ends(event, actions):
        return actions.force_output(b"xyz") if event.step == 1 else None

    with pytest.raises(ModRaisedError, match=r"`finally`.*run.report"):
        play(wrong, ends, says="abc")


def test_misspelled_step_is_an_error_that_suggests_the_right_one():
    @mod
    def wrong(run):
        yield run.genrate()

    with pytest.raises(ModRaisedError, match="did you mean 'generate'"):
        play(wrong, says="a")


def test_script_that_never_advances_ends_with_an_error():
    @mod
    def forever(run):
        while True:
            yield run.generate()

    with pytest.raises(ModBudgetError, match="advancing"):
        play(forever, says="")


def test_script_that_loops_without_a_step_that_waits_ends_with_an_error():
    @mod
    def forever(run):
        mark = run.mark()
        while True:
            yield run.force("a")
            yield run.rewind(mark)

    with pytest.raises(ModRaisedError, match="1000 steps at one event"):
        play(forever, says="abc")


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        (lambda run, text: (yield), r"`text` has no type"),
        (lambda: (yield), r"takes a run"),
        (lambda *args: (yield), "a"),
        (lambda run, **more: (yield), "no name that a request can give"),
        (lambda event, actions: (yield), "a handler of events returns its action"),
    ],
)
def test_wrong_arguments_of_a_script_are_refused_when_it_is_defined(wrong, expected):
    if expected == "a":
        assert mod(name="varied")(wrong)
        return
    with pytest.raises(ModDefinitionError, match=expected):
        mod(name="wrong")(wrong)


def test_on_of_a_script_is_refused():
    with pytest.raises(ModDefinitionError, match="`on` is for functions that handle events"):

        @mod(on=[Sampled])
        def wrong(run):
            yield run.stop()


def test_script_catches_what_its_step_raises():
    caught = []

    @mod
    def catches(run):
        try:
            yield run.generate(until=lambda text: 1 / 0)
        except ZeroDivisionError as error:
            caught.append(error)
        yield run.force("!")

    assert play(catches, says="abc").text == "a!bc"
    assert len(caught) == 1


@pytest.mark.slow
def test_scripts_hold_every_check_of_conformance():
    for script in (self_check, titled, restores):
        report = check_conformance(script)
        assert report.is_passed, str(report)


def test_each_request_has_its_own_run():
    from concordance_sdk.testing import Playing, Scene

    scenes = [Scene(script=text, resumes=True) for text in ("5.<eos>n6.", "7.<eos>y")]
    playings = [Playing([use(self_check)], scene) for scene in scenes]
    while running := [playing for playing in playings if not playing.is_over]:
        for playing in running:
            playing.step()
    assert [playing.finish().text for playing in playings] == ["Again: 6.", "7."]


def test_budget_ends_a_script_wherever_it_is():
    for max_tokens in range(1, 30):
        played = play(self_check, says="It is 5.<eos>n6.", max_tokens=max_tokens)
        assert "?" not in played.text, max_tokens
        assert len(played.token_ids) <= max_tokens


def test_ended_by_says_why_a_step_ended():
    reasons = []

    @mod
    def reads(run):
        for options in ({"tokens": 1}, {"until": "c"}, {"sentences": 1}, {}):
            text = yield run.generate(**options)
            reasons.append(text.ended_by)

    play(reads, says="abcd. e<eos>")
    assert reasons == [EndedBy.TOKENS, EndedBy.UNTIL, EndedBy.SENTENCES, EndedBy.MODEL]


def test_events_are_followed_by_handlers_of_other_mods_as_for_any_mod():
    log = []

    @mod(on=[Added, Finished])
    def watch(event, actions):
        log.append((event.step, getattr(event, "added_tokens", ())))

    play(self_check, watch, says="5.<eos>n6.")
    assert (0, tuple(b"Again: ")) in log
    assert isinstance(ForwardPass, type)
    assert issubclass(InvalidActionError, Exception)


def test_mark_at_the_end_of_the_sequence_is_before_the_token_that_ends_it():
    @mod
    def twice(run):
        yield run.generate()
        mark = run.mark()
        yield run.generate(tokens=3)
        yield run.rewind(mark)
        yield run.force("!")

    assert play(twice, says="One.<eos>Two.").text == "One.!."


@pytest.mark.parametrize("stream", [False, True])
def test_rewinding_to_a_mark_at_the_end_of_the_sequence_ends_it_again(stream):
    @mod
    def looks_ahead(run):
        yield run.generate()
        mark = run.mark()
        yield run.generate(tokens=3)
        yield run.rewind(mark)

    played = play(looks_ahead, says="One.<eos>Two.", stream=stream)
    assert (played.text, played.finish_reason) == ("One.", "stop")


def test_rewinding_to_an_earlier_mark_moves_later_marks_there():
    marks = []

    @mod
    def nested(run):
        outer = run.mark()
        yield run.generate(tokens=3)
        inner = run.mark()
        yield run.rewind(outer)
        marks.extend((inner.position, mark.is_intact) for mark in (outer, inner))
        yield run.force("again")
        yield run.rewind(inner)
        yield run.force("done")

    assert play(nested, says="One<eos>").text == "done"
    assert marks == [(0, True), (0, False)]


def test_budget_that_cuts_a_forced_text_is_no_rewind_by_another_mod():
    forced = []

    @mod
    def guarded(run):
        yield run.force("Dear ")
        with run.guard():
            forced.append((yield run.force("Alice")))
            yield run.generate()

    played = play(guarded, says="!", max_tokens=8)
    assert (played.text, played.finish_reason) == ("Dear Ali", "length")
    assert (forced[0], bytes(forced[0].token_ids)) == ("Ali", b"Ali")


@pytest.mark.parametrize("budget", range(1, 9))
def test_constrained_text_may_reach_the_budget_anywhere(budget):
    @mod
    def answers(run):
        yield run.generate(constraint=ChoicesStrat(["abba abba", "no"]))
        yield run.generate()

    assert play(answers, says="a", max_tokens=budget).text == "abba abba"[:budget]


@pytest.mark.parametrize(
    "again", [lambda run, start: run.rewind(start), lambda run, _: run.force([256])]
)
def test_step_that_writes_again_what_it_removes_changes_nothing(again):
    @mod
    def script(run):
        yield run.generate()
        yield again(run, run.mark())
        yield run.tool_call("look")

    assert play(script, says="Yes.").finish_reason == "tool_calls"
