"""Routes after answers that a question cannot have, and answers without a route."""

import pytest
from concordance_sdk import ModRaisedError, mod
from concordance_sdk.constraints import ChoicesStrat, Regex
from concordance_sdk.flow import FlowDefinition, FlowEngine, FlowQuestion
from concordance_sdk.testing import play
from concordance_shared import FlowError


def ask(name="sure", constraint=None):
    return FlowQuestion(name, f"{name}? ", constraint or ChoicesStrat(["Yes", "no "]))


def engine_of(question):
    return FlowEngine(entry_question=question)


def play_flow(engine, says):
    @mod
    class Flow:
        def parts(self):
            return [engine]

    return play(Flow, says=says).text


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("maybe", "FlowQuestion('sure').on('maybe', ...): its choices are 'Yes', 'no '"),
        ("yess", "it never has this answer; did you mean 'Yes'?"),
        ("", ".on('', ...)"),
    ],
)
def test_a_route_after_an_answer_that_is_no_choice_is_rejected(answer, message):
    with pytest.raises(FlowError) as refused:
        engine_of(ask().on("yes", "Good.").on(answer, "Odd."))

    assert message in refused.value.message


def test_such_a_route_of_a_later_question_or_definition_is_rejected():
    wrong = ask("later").on("maybe", "Odd.")

    for entry in (ask().then(wrong), ask().on("no", FlowDefinition("d", wrong, str))):
        with pytest.raises(FlowError, match=r"FlowQuestion\('later'\).on\('maybe'"):
            engine_of(entry)


def test_such_a_route_of_a_question_that_a_function_returns_is_rejected_when_it_is_asked():
    engine = engine_of(ask().then(lambda state: ask("later").on("maybe", "Odd.")))

    with pytest.raises(ModRaisedError, match=r"FlowQuestion\('later'\).on\('maybe'"):
        play_flow(engine, "no ")


@pytest.mark.parametrize(
    "question",
    [
        ask().on("YES", "Good.").on(" no", "Bad."),
        ask().on("skipped", "Skipped.").with_auto_answer(lambda state: "skipped"),
        ask(constraint=Regex("yes|no")).on("maybe", "Odd."),
    ],
    ids=["case and spaces", "auto-answer", "other constraint"],
)
def test_a_route_after_an_answer_that_is_possible_is_accepted(question):
    engine_of(question)


def test_a_choice_without_a_route_ends_the_flow_and_the_model_continues():
    engine = engine_of(ask(constraint=ChoicesStrat(["yes", "no"])).on("yes", "Good."))

    assert play_flow(engine, "n, thanks") == "sure? no\n, thanks"
