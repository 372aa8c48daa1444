"""Reports of mods: they reach the client, and never decide an event."""

from itertools import product

import pytest
from concordance_sdk import (
    Added,
    AdjustedLogits,
    AdjustedPrefill,
    Backtrack,
    Finished,
    FinishReason,
    ForceOutput,
    ForceTokens,
    ForwardPass,
    InvalidActionError,
    ModReport,
    Noop,
    Prefilled,
    Report,
    Sampled,
    ToolCalls,
    mod,
)
from concordance_sdk.constraints import ChoicesStrat
from concordance_sdk.flow import FlowEngine, FlowQuestion, route_tool
from concordance_sdk.testing import play
from concordance_shared import EVENTS, MAX_REPORT_BYTES, MAX_REPORTS, EmittedError, ModRaisedError


def once(event_type, returned, *, name="probe", step=0):
    """Create a mod that returns something once, at an event of a type."""
    left = [1]

    @mod(name=name, on=[event_type], max_backtrack=None)
    def probe(event, actions):
        if left[0] and event.step >= step:
            left[0] = 0
            return returned
        return None

    return probe


def reporting(event_type, **options):
    return once(event_type, Report({"at": event_type.__name__}), **options)


def data_of(played):
    return [report.data for report in played.reports]


@pytest.mark.parametrize("event_type", EVENTS, ids=lambda e: e.__name__)
def test_report_is_allowed_at_every_event(event_type):
    played = play(reporting(event_type), script="ab")

    assert data_of(played) == [{"at": event_type.__name__}]
    assert (played.text, played.num_forced) == ("ab", 0)


@pytest.mark.parametrize(
    ("event_type", "action"),
    [
        (Prefilled, AdjustedPrefill([1, 2], 3)),
        (ForwardPass, AdjustedLogits(allow=[98])),
        *product((ForwardPass, Sampled, Added), (ForceTokens(b"x"), Backtrack(1, b"y"))),
        *product(
            (Prefilled, ForwardPass, Sampled, Added), (ForceOutput(b"z"), ToolCalls({"name": "f"}))
        ),
        *product(EVENTS, (Noop(), None)),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_action_beside_a_report_acts_as_it_does_alone(event_type, action):
    step = 0 if event_type is Prefilled else 2
    alone = play(once(event_type, action, step=step), script="abcd")
    beside = play(once(event_type, [Report({"a": 1}), action], step=step), script="abcd")

    assert (data_of(alone), data_of(beside)) == ([], [{"a": 1}])
    assert (beside.token_ids, beside.finish_reason) == (alone.token_ids, alone.finish_reason)
    assert beside.prompt_ids == alone.prompt_ids


def test_report_has_the_mod_and_the_step_of_its_event():
    played = play(reporting(Added, name="judge", step=2), script="abcd")

    assert played.reports == (ModReport(mod="judge", step=2, data={"at": "Added"}),)


def test_reports_are_in_the_order_of_events_and_mods():
    @mod(name="second", on=[Added, Finished])
    def second(event, actions):
        return (actions.report(second=1), actions.report(second=2))

    played = play(reporting(Added), second, script="", max_tokens=1)

    assert data_of(played) == [{"at": "Added"}, *[{"second": 1}, {"second": 2}] * 2]


def test_mods_after_one_that_only_reports_are_called():
    @mod(name="stops", on=[Added])
    def stops(event, actions):
        return actions.stop()

    assert play(reporting(Added), stops, script="abc").text == "a"


def test_mod_that_is_skipped_reports_nothing():
    @mod(name="wins", on=[Sampled], max_backtrack=0)
    def wins(event, actions):
        return actions.force_tokens(b"!") if event.step == 0 else None

    assert data_of(play(wins, reporting(Sampled), script="a", max_tokens=1)) == []


def test_adjustments_compose_beside_reports():
    @mod(name="first", on=[ForwardPass])
    def first(event, actions):
        return [actions.report(n=1), actions.adjust_logits(ban=b"a")]

    @mod(name="other", on=[ForwardPass])
    def other(event, actions):
        return [actions.report(top=event.logits.top_k(1)[0][0]), actions.adjust_logits(allow=b"ab")]

    played = play(first, other, script="a", max_tokens=1)

    assert played.text == "b"
    assert data_of(played)[0] == {"n": 1}
    assert data_of(played)[1]["top"] != ord("a")


def test_report_of_a_part_is_that_of_its_mod():
    class Part:
        def added(self, event, actions, tokenizer):
            return actions.report(length=event.step)

    @mod
    class Whole:
        def parts(self):
            return [Part()]

    assert play(Whole, script="", max_tokens=1).reports[0].mod == "whole"


def test_backtracking_removes_no_report():
    @mod(on=[Added], max_backtrack=1)
    def again(event, actions):
        if event.step == 1 and not event.forced:
            return [actions.report(token=event.added_tokens[0]), actions.backtrack(1, b"X")]
        return None

    assert data_of(play(again, script="abc")) == [{"token": ord("b")}]


def test_report_is_a_copy_of_the_mods_data():
    rows = []

    @mod(on=[Added])
    def collects(event, actions):
        rows.append(event.step)
        return actions.report(rows=rows)

    assert data_of(play(collects, script="a")) == [{"rows": [0]}, {"rows": [0, 1]}]


def test_empty_list_is_no_action():
    @mod(on=[Added])
    def nothing(event, actions):
        return []

    assert play(nothing, script="ab").reports == ()


def test_report_without_data_is_no_report():
    @mod(on=[Added])
    def nothing(event, actions):
        return actions.report()

    assert play(nothing, script="ab").reports == ()


def failing(returned, on=Added):
    """Play a mod that returns something invalid at `on`; return the error."""

    @mod(on=[on])
    def bad(event, actions):
        return returned(actions)

    with pytest.raises(InvalidActionError) as caught:
        play(bad, script="ab")
    return caught.value


def test_two_actions_beside_a_report_are_rejected():
    error = failing(lambda a: [a.report(x=1), a.stop(), a.backtrack(1)])

    assert "'bad' returned a list with ForceTokens and Backtrack" in error.message
    assert error.reports == ()


def test_list_with_a_value_that_is_not_an_action_is_rejected():
    assert "returned 3, which is not an action" in failing(lambda a: [a.report(x=1), 3]).message


def test_action_beside_a_report_has_to_be_allowed_at_the_event():
    error = failing(lambda a: [a.report(x=1), a.stop()], on=Finished)

    assert "ForceTokens, which is not allowed at Finished" in error.message


def test_reports_are_kept_if_the_action_beside_them_is_rejected():
    error = failing(lambda a: [a.report(x=1), a.backtrack(99)])

    assert error.reports == (ModReport(mod="bad", step=0, data={"x": 1}),)


def test_reports_are_kept_if_the_mod_fails_later():
    @mod(on=[Added])
    def fails(event, actions):
        if event.step == 1:
            raise RuntimeError("kaput")
        return actions.report(step=event.step)

    with pytest.raises(ModRaisedError) as caught:
        play(fails, script="ab")

    assert [report.data for report in caught.value.reports] == [{"step": 0}]
    assert 'reported 0 fails {"step":0}' in caught.value.__notes__[0]


def test_mod_that_ends_the_request_with_an_error_can_report_why():
    @mod(on=[Prefilled])
    def guard(event, actions):
        return [actions.report(category="spam"), actions.emit_error("refused")]

    with pytest.raises(EmittedError) as caught:
        play(guard, script="ab")

    assert caught.value.reports == (ModReport(mod="guard", step=0, data={"category": "spam"}),)


def test_more_reports_than_the_limit_end_the_request():
    many = failing(lambda a: [a.report(x=i) for i in range(MAX_REPORTS + 1)])

    assert f"more reports than the {MAX_REPORTS}" in many.message
    assert len(many.reports) == MAX_REPORTS


def test_larger_reports_than_the_limit_end_the_request():
    half = "x" * (MAX_REPORT_BYTES // 2)
    large = failing(lambda a: [a.report(x=half), a.report(x=half)])

    assert f"the limit for one request is {MAX_REPORT_BYTES}" in large.message
    assert len(large.reports) == 1


def test_log_shows_reports_where_they_were_made():
    played = play(reporting(Added, step=1), script="ab")

    played.expect_events("added 1", 'reported 1 probe {"at":"Added"}', "forward_pass 2")
    assert play(reporting(Finished), script="a").log[-2:] == (
        "finished 2 stop",
        'reported 2 probe {"at":"Finished"}',
    )


def test_function_of_a_flows_tool_route_may_report_beside_its_call():
    def look_up(actions, state, tokenizer):
        return [actions.report(answer=state.answers["Which?"]), actions.tool_calls({"name": "f"})]

    question = FlowQuestion("Which?", prompt="Which? ", constraint=ChoicesStrat(["a"]))
    question.then(route_tool(look_up))

    @mod
    class Router:
        def parts(self):
            return [FlowEngine(entry_question=question)]

    played = play(Router, says="")
    assert data_of(played) == [{"answer": "a"}]
    assert played.finish_reason is FinishReason.TOOL_CALLS
