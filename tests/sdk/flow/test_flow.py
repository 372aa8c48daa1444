"""Questions one after the other, and where their answers lead."""

import gc
import weakref
from dataclasses import dataclass, field

import pytest
from concordance_sdk import Added, FinishReason, ForwardPass, ModRaisedError, mod
from concordance_sdk.constraints import (
    CharsMode,
    CharsStrat,
    ChoicesStrat,
    ListStrat,
    Regex,
    UntilEndType,
    UntilStrat,
)
from concordance_sdk.flow import (
    DefaultState,
    FlowDefinition,
    FlowEngine,
    FlowQuestion,
    FlowRoute,
    route_message,
    route_noop,
    route_output,
    route_question,
    route_summary,
    route_tool,
)
from concordance_sdk.self_prompt import EraseMode
from concordance_sdk.testing import play
from concordance_shared import ConstraintError, FlowError, ModBudgetError

EOS = 256
YES_NO = ChoicesStrat(["yes", "no"])


class Scripted:
    """A model that answers the questions it is asked, then writes free text.

    It knows a question by the prompt that stands last in the completion.
    """

    def __init__(self, answers, then=""):
        self.answers = dict(answers)
        self.then = then

    def __call__(self, completion):
        text = bytes(i for i in completion if i < 256).decode()
        asked = [(text.rfind(prompt), prompt) for prompt in self.answers if prompt in text]
        if not asked:
            return self._next(self.then, text)
        at, prompt = max(asked)
        return self._next(self.answers[prompt], text[at + len(prompt) :])

    def _next(self, wanted, written):
        return ord(wanted[len(written)]) if len(written) < len(wanted) else EOS


def ask(name, constraint=YES_NO, erase=EraseMode.NONE, **options):
    return FlowQuestion(name, f"{name}? ", constraint, erase=erase, **options)


def flow_mod(engine, **options):
    @mod(name="flow", max_backtrack=None, **options)
    def flow(event, actions, tokenizer):
        return engine.handle_event(event, actions, tokenizer)

    return flow


def walk(entry, answers=(), then="", *, engine=None, **options):
    """Play a flow; return what became of it, and its last state."""
    engine = engine or FlowEngine(entry_question=entry)
    states = []

    @mod(name="flow", max_backtrack=None)
    def flow(event, actions, tokenizer):
        states.append(engine.state(event.request_id))
        return engine.handle_event(event, actions, tokenizer)

    others = options.pop("others", ())
    return play(*others, flow, script=Scripted(answers, then), **options), states[0]


# Where an answer leads


def test_on_compares_answers_case_insensitively():
    sure = ask("Sure").on("YES", "Done.").on(" no ", "Cancelled.")

    assert walk(sure, {"Sure? ": "yes"})[0].text == "Sure? yes\nDone."
    assert walk(sure, {"Sure? ": "no"})[0].text == "Sure? no\nCancelled."


def test_then_leads_to_the_next_question():
    second = ask("Second").then("Done.")
    first = ask("First").then(second)
    played, state = walk(first, {"First? ": "yes", "Second? ": "no"})

    assert played.text == "First? yes\nSecond? no\nDone."
    assert state.answers == {"First": "yes", "Second": "no"}


def test_branches_are_tried_in_order_after_on():
    question = (
        ask("Sure")
        .on("no", "No.")
        .branch(lambda state: None)
        .branch(lambda state: f"You said {state.answers['Sure']}.")
        .then("Never said.")
    )

    assert walk(question, {"Sure? ": "no"})[0].text.endswith("No.")
    assert walk(question, {"Sure? ": "yes"})[0].text.endswith("You said yes.")


def test_then_is_the_default_route():
    question = ask("Sure").on("yes", "Yes.").branch(lambda state: None).then("Otherwise.")

    assert walk(question, {"Sure? ": "no"})[0].text.endswith("Otherwise.")


def test_answer_without_a_route_ends_the_flow():
    played, _ = walk(ask("Sure", erase="all"), {"Sure? ": "no"}, then="Hello")

    assert played.text == "Hello"


@pytest.mark.parametrize(
    "target",
    [
        "Done.",
        route_message("Done."),
        lambda state: "Done.",
        lambda state: lambda state: route_message("Done."),
        ask("Unasked").with_auto_answer(lambda state: "no").then("Done."),
        route_question(ask("Unasked").with_auto_answer(lambda state: "no").then("Done.")),
    ],
)
def test_targets_are_texts_routes_questions_or_functions(target):
    assert walk(ask("Sure").then(target), {"Sure? ": "no"})[0].text == "Sure? no\nDone."


def test_function_that_returns_no_target_is_an_error_naming_the_question():
    with pytest.raises(ModRaisedError, match=r"FlowQuestion\('Sure'\) leads to 3; a route is"):
        walk(ask("Sure").then(lambda state: 3), {"Sure? ": "no"})


@pytest.mark.parametrize(
    ("define", "said"),
    [
        (lambda: route_question("x"), "route_question takes a FlowQuestion or .*, not 'x'"),
        (lambda: route_tool(None), "route_tool takes a function of .*, not None"),
        (lambda: route_message(3), "route_message takes a text, not 3"),
        (lambda: route_output(None), "route_output takes a text, not None"),
        (lambda: route_summary(3), "route_summary takes a text or nothing, not 3"),
        (lambda: FlowRoute("QUESTION"), "a FlowRoute has a RouteKind .*, not 'QUESTION'"),
        (lambda: ask("A").on(3, "x"), r"FlowQuestion\('A'\)\.on takes the answer as a text, not 3"),
        (lambda: ask("A").assign("x"), r"\('A'\)\.assign takes a function of .*, not 'x'"),
        (lambda: ask("A").branch("x"), r"\('A'\)\.branch takes a function of .*, not 'x'"),
        (lambda: ask("A").with_auto_answer("x"), r"\.with_auto_answer takes a function .* not 'x'"),
        (lambda: FlowQuestion(3, "A? ", YES_NO), "FlowQuestion needs a name, .* not 3"),
        (lambda: FlowDefinition("d", "x", str), "FlowDefinition 'd' begins with a .* not with 'x'"),
        (
            lambda: FlowDefinition("d", ask("A"), "x"),
            "summary_builder of FlowDefinition 'd' .* 'x'",
        ),
    ],
)
def test_invalid_definitions_are_rejected(define, said):
    with pytest.raises(FlowError, match=said):
        define()


@pytest.mark.parametrize(
    ("route", "said"),
    [
        (lambda state: route_question("x"), "route_question takes"),
        (lambda state: route_tool(None), "route_tool takes"),
        (lambda state: route_message(3), "route_message takes"),
    ],
)
def test_function_that_returns_no_route_is_an_error_naming_the_question(route, said):
    with pytest.raises(ModRaisedError, match=rf"FlowQuestion\('Sure'\) leads nowhere: {said}"):
        walk(ask("Sure").then(route), {"Sure? ": "no"})


def test_summary_that_is_not_text_is_an_error_naming_the_definition():
    order = FlowDefinition("order", ask("Size").then(route_summary()), lambda state: 3)

    with pytest.raises(ModRaisedError, match="FlowDefinition 'order' returns a text, not 3"):
        walk(order, {"Size? ": "no"})


def test_auto_answer_that_is_not_text_is_an_error_naming_the_question():
    with pytest.raises(
        ModRaisedError, match=r"auto-answer of FlowQuestion\('A'\) is 3; it is a text"
    ):
        walk(ask("A").with_auto_answer(lambda state: 3))


# What a route does


def test_route_message_ends_the_completion():
    played, _ = walk(ask("Sure").then(route_message("Bye")), {"Sure? ": "no"}, then="and more")

    assert (played.text, played.finish_reason) == ("Sure? no\nBye", FinishReason.STOP)


def test_route_output_replaces_the_completion():
    played, _ = walk(ask("Sure").then(route_output("42")), {"Sure? ": "no"})

    assert (played.text, played.finish_reason) == ("42", FinishReason.STOP)


@pytest.mark.parametrize("erase", [EraseMode.NONE, EraseMode.ALL])
def test_route_tool_is_called_with_the_state_after_erasing(erase):
    def call(actions, state, tokenizer):
        assert tokenizer.encode("a") == [97]
        return actions.tool_calls({"name": "order", "arguments": state.answers})

    played, _ = walk(ask("Size", erase=erase).then(route_tool(call)), {"Size? ": "no"})

    assert played.finish_reason is FinishReason.TOOL_CALLS
    assert played.tool_calls[0].function.arguments == '{"Size":"no"}'
    assert played.text == ("" if erase is EraseMode.ALL else "Size? no\n")


def test_route_tool_is_called_once_if_only_the_prompt_is_erased():
    calls = []

    def call(actions, state, tokenizer):
        calls.append(dict(state.answers))
        return actions.force_output(b"called")

    played, _ = walk(ask("Size", erase="prompt").then(route_tool(call)), {"Size? ": "no"})

    assert (played.text, calls) == ("called", [{"Size": "no"}])


def test_route_tool_that_returns_nothing_ends_the_flow():
    question = ask("Size", erase="all").then(route_tool(lambda actions, state, tokenizer: None))

    assert walk(question, {"Size? ": "no"}, then="Hello")[0].text == "Hello"


@pytest.mark.parametrize(
    ("erase", "text"), [("none", "Sure? no\n"), ("prompt", "no\n"), ("all", "")]
)
def test_route_noop_keeps_what_is_not_erased(erase, text):
    question = ask("Sure", erase=erase).then(route_noop())

    assert walk(question, {"Sure? ": "no"}, then=text + "Hello")[0].text.startswith(text)


def test_route_summary_uses_the_definition():
    last = ask("Colour", ChoicesStrat(["red", "blue"]), "all").then(route_summary())
    first = ask("Size", ChoicesStrat(["S", "M"]), "all").then(last)
    order = FlowDefinition("order", first, lambda state: " ".join(state.answers.values()))
    answers = {"Size? ": "M", "Colour? ": "red"}

    assert order.all_questions() == [first, last]
    assert walk(order, answers)[0].text == "M red"
    assert (
        walk(first, answers, engine=FlowEngine(entry_question=first, flows={"order": order}))[
            0
        ].text
        == "M red"
    )


def test_route_summary_uses_its_text():
    question = ask("Size", erase="all").then(route_summary("That is all."))

    assert walk(question, {"Size? ": "no"})[0].text == "That is all."


def test_route_summary_without_a_definition_lists_the_answers():
    second = ask("B", erase="all").then(route_summary())
    first = ask("A", erase="all").then(second)

    assert walk(first, {"A? ": "no", "B? ": "yes"})[0].text == "A: no\nB: yes"


def test_definition_can_be_a_target():
    order = FlowDefinition("order", ask("Size").then(route_summary()), lambda state: "Ordered.")
    hello = ask("Order").on("yes", order).on("no", "Bye.")

    assert walk(hello, {"Order? ": "yes", "Size? ": "no"})[0].text.endswith("Ordered.")
    assert order.all_questions() == [order.root]


def test_questions_of_a_cyclic_definition_are_found_once():
    again = ask("Again")
    again.on("yes", again).on("no", route_question(ask("Other").then("Bye.")))

    names = [q.name for q in FlowDefinition("d", again, str).all_questions()]
    assert names == ["Again", "Other"]


# Answers


@dataclass
class Booking:
    request_id: str
    answers: dict[str, str] = field(default_factory=dict)
    seats: int = 0


def test_assignment_runs_once_per_answer_on_a_custom_state():
    seats = (
        ask("Seats", CharsStrat(CharsMode.NUMERIC, min=1, stop=2), "all")
        .assign(lambda state, answer: setattr(state, "seats", state.seats + int(answer)))
        .then(lambda state: f"{state.seats} seats.")
    )
    engine = FlowEngine(entry_question=seats, state_factory=Booking)
    for _ in range(2):
        played, state = walk(None, {"Seats? ": "12"}, engine=engine)

        assert (played.text, state.seats) == ("12 seats.", 12)
        assert isinstance(state, Booking)


def test_state_keeps_answers_as_text_and_their_values():
    numbers = ListStrat(CharsStrat(CharsMode.JS_FLOAT, stop=4), sep=" ", min=1)
    question = ask("Numbers", numbers, "all").then("ok")
    _, state = walk(question, {"Numbers? ": "1.5 2\n"})

    assert state.answers == {"Numbers": "1.5 2"}
    assert state.values == {"Numbers": [1.5, 2.0]}


def test_auto_answer_is_taken_without_asking():
    log = []
    second = ask("Second").assign(lambda state, answer: log.append(answer)).then("Done.")
    first = ask("First").then(second.with_auto_answer(lambda state: " no " if log == [] else None))
    played, state = walk(first, {"First? ": "yes"})

    assert played.text == "First? yes\nDone."
    assert state.answers == {"First": "yes", "Second": "no"}
    assert log == ["no"]


@pytest.mark.parametrize(
    ("strategy", "known", "value"),
    [
        (CharsStrat(CharsMode.JS_FLOAT, stop=4), "2.5", 2.5),
        (CharsStrat(CharsMode.JS_FLOAT, stop="\n"), " 2.5 ", 2.5),
        (ListStrat(CharsStrat(CharsMode.JS_FLOAT, stop=4), end_with="\n"), "1.5, 2", [1.5, 2.0]),
        (UntilStrat("<a>", UntilEndType.TAG, "</a>"), "<a>so</a>", "so"),
        (CharsStrat(CharsMode.JS_FLOAT, stop=4), "unknown", "unknown"),
    ],
)
def test_auto_answer_has_the_value_of_a_sampled_answer(strategy, known, value):
    entry = ask("A", strategy).with_auto_answer(lambda state: known).then("Done.")
    _, state = walk(entry)

    assert (state.answers, state.values) == ({"A": known.strip()}, {"A": value})


@pytest.mark.parametrize("known", [None, "", "  "])
def test_question_without_an_auto_answer_is_asked(known):
    question = ask("Sure").with_auto_answer(lambda state: known).then("Done.")

    assert walk(question, {"Sure? ": "no"})[0].text == "Sure? no\nDone."


def test_entry_question_may_have_an_auto_answer():
    log = []
    entry = ask("Entry").with_auto_answer(lambda state: "yes")
    entry.assign(lambda state, answer: log.append(answer)).on("yes", ask("Next").then("Done."))

    assert walk(entry, {"Next? ": "no"})[0].text == "Next? no\nDone."
    assert log == ["yes"]


def test_flow_of_auto_answers_writes_its_end_immediately():
    entry = (
        ask("A")
        .with_auto_answer(lambda state: "x")
        .then(ask("B").with_auto_answer(lambda state: "y").then(route_summary()))
    )
    played, _ = walk(entry)

    assert (played.text, played.passes) == ("A: x\nB: y", 1)


# Long flows, and endless ones


@pytest.mark.parametrize("erase", EraseMode)
@pytest.mark.parametrize("count", [1, 7, 120])
def test_flow_may_have_any_length(count, erase):
    log = []
    target = route_summary("Done.")
    for i in reversed(range(count)):
        question = FlowQuestion(f"q{i}", f"{i}?", YES_NO, erase=erase)
        target = question.assign(lambda state, answer, i=i: log.append(i)).then(target)
    script = lambda completion: ord("n")  # noqa: E731
    engine = FlowEngine(entry_question=target)
    played = play(flow_mod(engine), script=script, max_tokens=1500)

    said = {"none": "{}?no\n", "prompt": "no\n", "all": ""}[erase]
    assert log == list(range(count))
    assert played.text == "".join(said.format(i) for i in range(count)) + "Done."
    assert played.passes == count + 1  # the prompt, and one choice for each question


@pytest.mark.parametrize("count", [300, 5000])
def test_any_number_of_auto_answers_may_be_passed(count):
    target = route_output("Done.")
    for i in reversed(range(count)):
        target = ask(f"q{i}").with_auto_answer(lambda state: "yes").then(target)
    played, state = walk(target)

    assert (played.text, len(state.answers)) == ("Done.", count)


def test_flow_that_erases_more_than_max_backtrack_is_an_error_with_the_remedy():
    target = route_output("Done.")
    for i in range(300):
        target = ask(f"q{i:03}", erase="all").then(target)

    with pytest.raises(ModBudgetError, match=r"8 x max_tokens \(100\).* larger max_tokens"):
        play(flow_mod(FlowEngine(entry_question=target)), script=b"n" * 99, max_tokens=100)


def test_route_may_revisit_an_auto_answered_question():
    count = ask("Count").with_auto_answer(lambda state: str(len(state.data)))
    count.assign(lambda state, answer: state.data.update({answer: True}))
    count.branch(lambda state: "Counted." if len(state.data) == 400 else count)

    assert walk(count)[0].text == "Counted."


def test_question_may_be_repeated_until_the_answer_is_right():
    tries = []
    guess = ask("Guess", Regex("[0-9]"), "all", suffix="")
    guess.assign(lambda state, answer: tries.append(answer))
    guess.branch(lambda state: "Right!" if len(tries) == 40 else guess)

    assert walk(guess, {"Guess? ": "7"})[0].text == "Right!"
    assert len(tries) == 40


def endless_functions():
    def again(state):
        return again

    return ask("Sure").then(again)


def endless_auto_answers():
    ping, pong = ask("Ping"), ask("Pong")
    ping.with_auto_answer(lambda state: "yes").then(pong)
    pong.with_auto_answer(lambda state: "yes").then(ping)
    return ask("Sure").then(ping)


def ever_new_questions():
    def another(state):
        name = f"q{len(state.answers)}"
        return ask(name).with_auto_answer(lambda state: "yes").then(another)

    return ask("Sure").then(another)


@pytest.mark.parametrize("entry", [endless_functions, endless_auto_answers, ever_new_questions])
def test_endless_route_is_an_error_naming_the_question(entry):
    with pytest.raises(ModRaisedError, match="does not end: it wrote nothing") as caught:
        walk(entry(), {"Sure? ": "no"})

    assert isinstance(caught.value.__cause__, FlowError)


def test_endless_route_from_the_entry_question_is_an_error():
    ping = ask("Ping").with_auto_answer(lambda state: "yes")

    with pytest.raises(ModRaisedError, match=r"FlowQuestion\('Ping'\)"):
        walk(ping.then(ping))


# Requests


def test_state_is_freed_with_the_request():
    states = []

    def state_of(request_id):
        state = Booking(request_id)
        states.append(weakref.ref(state))
        return state

    engine = FlowEngine(entry_question=ask("Sure").then("Bye."), state_factory=state_of)
    play(flow_mod(engine), script=Scripted({"Sure? ": "no"}))

    @mod(on=[ForwardPass, Added])  # never hears of the end
    def deaf(event, actions, tokenizer):
        return engine.handle_event(event, actions, tokenizer)

    play(deaf, script=Scripted({"Sure? ": "no"}))
    with pytest.raises(ModRaisedError):
        play(
            flow_mod(
                FlowEngine(entry_question=ask("Sure").then(lambda s: 3), state_factory=state_of)
            ),
            script=Scripted({"Sure? ": "no"}),
        )
    gc.collect()

    assert len(states) == 3
    assert [ref() for ref in states] == [None] * 3


def test_requests_have_separate_states():
    question = ask("Sure").on("yes", "Yes.").on("no", "No.")
    engine = FlowEngine(entry_question=question)
    texts = [walk(None, {"Sure? ": a}, engine=engine)[0].text for a in ("yes", "no", "yes")]

    assert texts == ["Sure? yes\nYes.", "Sure? no\nNo.", "Sure? yes\nYes."]


def test_current_question_is_available():
    engine = FlowEngine(entry_question=ask("A").then(ask("B").then("Done.")))
    seen = []

    @mod
    def flow(event, actions, tokenizer):
        question = engine.current_question(event.request_id)
        seen.append(question and question.name)
        return engine.handle_event(event, actions, tokenizer)

    play(flow, script=Scripted({"A? ": "no", "B? ": "no"}))

    assert list(dict.fromkeys(seen)) == [None, "A", "B"]


# Other mods


def test_text_of_an_earlier_mod_precedes_the_flow():
    @mod(on=[ForwardPass])
    def greet(event, actions):
        return actions.force_tokens(b"Hi! ") if event.step == 0 else None

    played, _ = walk(ask("Sure").then("Bye."), {"Sure? ": "no"}, others=[greet])

    assert played.text == "Hi! Sure? no\nBye."


def test_answer_that_another_mod_backtracks_is_forced_again_and_assigned_once():
    taken = []

    @mod(on=[Added], max_backtrack=None)
    def once(event, actions):
        if event.added_tokens[-1] == ord("n") and not taken:
            taken.append(event)
            return actions.backtrack(4)  # the choice, and some of the prompt

    log = []
    question = ask("Sure").assign(lambda state, answer: log.append(answer)).then("Bye.")
    played, _ = walk(question, {"Sure? ": "no"}, others=[once])

    assert taken
    assert (played.text, log) == ("Sure? no\nBye.", ["no"])


def test_flow_shows_the_same_text_in_a_stream():
    question = ask("Sure", erase="all").then("Bye.")

    assert walk(question, {"Sure? ": "no"}, stream=True)[0].text == "Bye."


# Errors where it is defined


def test_question_without_a_name_is_rejected():
    with pytest.raises(FlowError, match="needs a name"):
        FlowQuestion("", "Sure? ", YES_NO)


@pytest.mark.parametrize("target", [3, object(), ["yes"]])
def test_invalid_target_is_rejected(target):
    with pytest.raises(FlowError, match=r"FlowQuestion\('Sure'\) leads to .* a route is"):
        ask("Sure").then(target)
    with pytest.raises(FlowError, match=r"FlowQuestion\('Sure'\) on 'no' leads to .* a route is"):
        ask("Sure").on("no", target)


@pytest.mark.parametrize("entry", ["Sure? ", 3, lambda state: "Bye."])
def test_flow_without_an_entry_question_is_rejected(entry):
    with pytest.raises(FlowError, match="begins with a FlowQuestion or a FlowDefinition, not with"):
        FlowEngine(entry_question=entry)


def test_question_without_a_constraint_is_rejected():
    with pytest.raises(ConstraintError, match="must be a constraint, not"):
        FlowQuestion("sure", "Sure? ", ["yes", "no"])


def test_state_without_answers_is_an_error_with_the_remedy():
    engine = FlowEngine(entry_question=ask("Sure"), state_factory=lambda request_id: object())

    with pytest.raises(ModRaisedError, match="a dictionary `answers`"):
        play(flow_mod(engine), script="")


def test_states_do_not_share_answers():
    one, other = DefaultState("a"), DefaultState("b")
    one.answers["x"] = "y"

    assert other.answers == {}


def test_flow_of_lines():
    name = FlowQuestion("name", "Name: ", UntilStrat(end_type=UntilEndType.NEWLINE), None)
    town = FlowQuestion("town", "Town: ", UntilStrat(end_type=UntilEndType.NEWLINE), None)
    name.then(town.then(route_output("done")))
    _, state = walk(name, {"Name: ": "Ada\n", "Town: ": "London\n"})

    assert state.answers == {"name": "Ada", "town": "London"}
