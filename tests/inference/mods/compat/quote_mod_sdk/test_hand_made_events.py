"""Events and actions created by hand, as authors' tests do."""

import copy
import pickle

import numpy as np
import pytest
from concordance_inference.mods.compat.quote_mod_sdk import action_types, events
from concordance_inference.mods.compat.quote_mod_sdk.action_types import (
    AdjustedLogits,
    Backtrack,
    ForceTokens,
    Noop,
)
from concordance_inference.mods.compat.quote_mod_sdk.actions import (
    ActionBuilder,
    InvalidActionError,
    for_event,
    validate_action,
)
from concordance_inference.mods.compat.quote_mod_sdk.conversation import (
    clear_conversation,
    get_conversation,
    get_schemas,
    pop_request_context,
    push_request_context,
    set_conversation,
    set_schemas,
)
from concordance_inference.mods.compat.quote_mod_sdk.decorator import create_mod
from concordance_inference.mods.compat.quote_mod_sdk.events import (
    Added,
    ForwardPass,
    Prefilled,
    Sampled,
)
from concordance_inference.mods.compat.quote_mod_sdk.flow import (
    FlowDefinition,
    FlowEngine,
    FlowQuestion,
    FlowState,
    RequestState,
    route_message,
    route_question,
    route_summary,
)
from concordance_inference.mods.compat.quote_mod_sdk.logits import Tensor
from concordance_inference.mods.compat.quote_mod_sdk.self_prompt import EraseMode, SelfPrompt
from concordance_inference.mods.compat.quote_mod_sdk.strategies.strategy_constructor import (
    ChoicesStrat,
    ListStrat,
)
from letters import Letters, LogitsTensor

LETTERS = Letters()

EVENTS = (
    Prefilled("r1", 0, 8),
    Prefilled(request_id="r1", step=0, max_steps=8, context_info={"tokens": [1]}, input_ids=(1,)),
    ForwardPass("r1", 1, LogitsTensor()),
    Sampled("r1", 1, 42),
    Added("r1", 1, (42,), False),
)
ACTIONS = (
    action_types.Noop(),
    action_types.AdjustedPrefill([1], 2),
    action_types.ForceTokens((1, 2)),
    action_types.EmitError("no"),
    action_types.AdjustedLogits([0.0], 0.5),
    action_types.ForceOutput(tokens=[1]),
    action_types.ToolCalls({"name": "f"}),
    action_types.Backtrack(2),
    action_types.Backtrack(n=2, tokens=iter([3])),
)


@pytest.mark.parametrize("value", [*EVENTS, *ACTIONS], ids=lambda value: type(value).__name__)
def test_events_and_actions_are_mutable_objects(value):
    kind = type(value)
    assert kind.__name__ in repr(value)
    assert vars(copy.deepcopy(value)).keys() == value.__dict__.keys()
    value.note = "mine"
    assert value.note == "mine"
    del value.note
    assert vars(pickle.loads(pickle.dumps(value))).keys() == vars(value).keys()
    assert isinstance(value, events.ModEvent | action_types.ModAction)


def test_events_and_actions_copy_their_lists():
    given = [1, 2]
    made = ForceTokens(given)
    made.tokens.append(3)
    added = Added("r1", 0, given, False)
    added.added_tokens.append(4)

    assert (given, made.tokens, added.added_tokens) == ([1, 2], [1, 2, 3], [1, 2, 4])
    back = Backtrack(3)
    back.n -= 1
    assert (back.n, back.tokens, back.__dict__) == (2, None, {"n": 2, "tokens": None})


@pytest.mark.parametrize(
    ("event", "method", "arguments", "is_allowed"),
    [
        (EVENTS[0], "adjust_prefill", ([1],), True),
        (EVENTS[0], "force_tokens", ([1],), False),
        (EVENTS[2], "force_tokens", ([1],), True),
        (EVENTS[2], "adjust_logits", (), True),
        (EVENTS[3], "adjust_logits", (), False),
        (EVENTS[3], "backtrack", (1, [2]), True),
        (EVENTS[4], "backtrack", (1,), True),
        (EVENTS[4], "adjust_prefill", ([1],), False),
        (EVENTS[4], "force_output", ([1],), True),
        (EVENTS[0], "tool_calls", ({"name": "f"},), True),
        (EVENTS[0], "emit_error", ("no",), True),
    ],
)
def test_builder_builds_the_legal_actions_of_an_event_only(event, method, arguments, is_allowed):
    build = getattr(for_event(event), method)
    if is_allowed:
        assert validate_action(event, build(*arguments)) is not None
    else:
        with pytest.raises(InvalidActionError, match=type(event).__name__):
            build(*arguments)


def test_validate_action_rejects_illegal_actions():
    assert isinstance(validate_action(EVENTS[0], None), Noop)
    with pytest.raises(ValueError, match="ForceTokens not permitted for event Prefilled"):
        validate_action(EVENTS[0], ForceTokens([1]))
    with pytest.raises(InvalidActionError, match="Unsupported event type str"):
        validate_action("event", Noop())
    with pytest.raises(InvalidActionError, match="str not permitted"):
        validate_action(EVENTS[0], "hello")


def test_a_mod_is_callable_with_event_and_tokenizer():
    @create_mod
    def says(event, actions, tokenizer):
        if isinstance(event, ForwardPass):
            return actions.force_tokens(tokenizer.encode("hi"))

    assert says(EVENTS[2], LETTERS).tokens == [104, 105]
    assert isinstance(says(EVENTS[4], LETTERS), Noop)
    assert says.__name__ == "says"


def test_logits_of_a_hand_made_event_are_the_given_object():
    row = np.zeros((1, 8), np.float32)
    event = ForwardPass("r1", 0, Tensor.from_numpy(row))

    assert event.logits.to_numpy() is row
    assert event.top_k_logprob(3)[0].shape == (1, 3)
    assert ActionBuilder(event).adjust_logits().logits is event.logits
    with pytest.raises(InvalidActionError, match="requires logits"):
        ActionBuilder(ForwardPass("r1", 0, None)).adjust_logits()


# Self-prompts


class Harness:
    """Passes hand-made events with arbitrary steps to a mod, as the older engine did."""

    def __init__(self, target, request_id="r1"):
        self.target, self.request_id, self.step = target, request_id, 0

    def prefill(self):
        event = Prefilled(self.request_id, self.step, 8, {})
        if isinstance(self.target, SelfPrompt):
            return self.target.handle_prefilled(event, LETTERS)
        return self.target.handle_event(event, ActionBuilder(event), LETTERS)

    def forward(self):
        self.step += 1
        event = ForwardPass(self.request_id, self.step, LogitsTensor())
        handle = getattr(self.target, "handle_forward_pass", None) or self.target.handle_event
        return handle(event, ActionBuilder(event), LETTERS)

    def add(self, text, forced=False):
        event = Added(self.request_id, self.step, LETTERS.encode(text), forced)
        handle = getattr(self.target, "handle_added", None) or self.target.handle_event
        return handle(event, ActionBuilder(event), LETTERS)


@pytest.mark.parametrize("completion", [None, "\n", {"suffix": "\n"}])
def test_self_prompt_erases_the_prompt_of_hand_made_events(completion):
    asked = SelfPrompt(prompt={"text": "Q:"}, strategy=ChoicesStrat(["Y", "N"]),
                       completion=completion, erase=EraseMode.PROMPT)  # fmt: skip
    harness = Harness(asked)
    harness.prefill()
    assert LETTERS.decode(harness.forward().tokens) == "Q:"
    harness.add("Q:", forced=True)
    masked = harness.forward()
    assert isinstance(masked, AdjustedLogits)
    assert np.flatnonzero(masked.logits.to_numpy() > -1e8).tolist() == [ord("N"), ord("Y")]
    harness.add("Y")
    if completion:
        assert LETTERS.decode(harness.forward().tokens) == "\n"
        harness.add("\n", forced=True)
    assert not asked.is_complete("r1")
    assert asked.answer_tokens("r1") is None
    erased = harness.forward()

    assert (erased.n, LETTERS.decode(erased.tokens)) == (3 + bool(completion), "Y")
    assert asked.is_complete("r1")
    assert LETTERS.decode(asked.answer_tokens("r1")) == "Y"
    assert isinstance(harness.forward(), Noop)


def test_an_erased_self_prompt_has_no_suffix():
    harness = Harness(SelfPrompt(prompt={"text": "P"}, strategy=ChoicesStrat(["Z"]),
                                 completion="\n", erase=EraseMode.ALL))  # fmt: skip
    harness.forward()
    harness.add("P", forced=True)
    harness.forward()
    harness.add("Z")
    erased = harness.forward()

    assert (erased.n, erased.tokens) == (2, None)


def test_refresh_responses_changes_one_request():
    asked = SelfPrompt(strategy=ListStrat([ChoicesStrat(["cat", "dog"])]))
    one, two = Harness(asked, "r1"), Harness(asked, "r2")
    asked.refresh_responses(["owl"], request_id="r1", idx=0)

    for harness, letters in ((one, "o"), (two, "cd")):
        row = harness.forward().logits.to_numpy()
        assert "".join(map(chr, np.flatnonzero(row > -1e8))) == letters


def test_mask_value_sets_the_logits_of_disallowed_tokens():
    asked = SelfPrompt(strategy=ChoicesStrat(["a", "b"]), mask_value=-3)

    assert set(Harness(asked).forward().logits.to_numpy().tolist()) == {0.0, -3.0}


# Flows


def questions(*names, **options):
    return [FlowQuestion(n, f" {n}:", ChoicesStrat(["A", "B"]), **options) for n in names]


@pytest.mark.parametrize("erase", list(EraseMode))
@pytest.mark.parametrize("completion", ["", "\n"])
def test_flow_runs_on_hand_made_events(erase, completion):
    one, two, three = questions("1", "2", "3", erase_mode=erase, completion_text=completion)
    one.then(route_question(two))
    two.then(three)
    three.then(route_message("Done!"))
    engine = FlowEngine(entry_question=one)
    harness, written, seen = Harness(engine), "", []
    harness.prefill()
    for _ in range(40):
        action = harness.forward()
        question = engine._states["r1"].current_question
        seen.append(question and question.name)
        if isinstance(action, Backtrack):
            written = written[: len(written) - action.n] + LETTERS.decode(action.tokens or ())
            if action.tokens:
                harness.add(LETTERS.decode(action.tokens), forced=True)
        elif isinstance(action, ForceTokens):
            written += LETTERS.decode(action.tokens)
            harness.add(LETTERS.decode(action.tokens), forced=True)
        elif isinstance(action, AdjustedLogits):
            written += "A"
            harness.add("A")
        elif question is None:
            break

    end = "Done!"
    expected = {
        EraseMode.NONE: "".join(f" {n}:A{completion}" for n in "123") + end,
        EraseMode.PROMPT: f"AAA{end}",
        EraseMode.ALL: end,
    }
    assert written == expected[erase]
    assert list(dict.fromkeys(seen)) == ["1", "2", "3", None]
    assert engine._get_state("r1").answers == {"1": "A", "2": "A", "3": "A"}


def test_states_of_a_flow_are_a_dictionary():
    engine = FlowEngine(entry_question=questions("1")[0])
    for request_id in ("r1", "r2"):
        Harness(engine, request_id).prefill()

    assert sorted(engine._states) == ["r1", "r2"]
    assert len(engine._states) == 2
    assert isinstance(engine._states["r1"], FlowState)
    mine = RequestState("r2", answers={"1": "B"})
    engine._states["r2"] = mine
    assert engine._get_state("r2") is mine
    assert engine._states.pop("r1").request_id == "r1"
    assert "r1" not in engine._states
    assert engine._states.get("r1") is None


def test_pending_route_and_current_question_redirect_a_flow():
    one, two = questions("1", "2")
    engine = FlowEngine(entry_question=one)
    harness = Harness(engine)
    harness.prefill()
    state = engine._get_state("r1")
    assert state.current_question is one
    state.current_question = two
    assert LETTERS.decode(harness.forward().tokens) == " 2:"
    state.pending_route = route_message("Bye")
    assert LETTERS.decode(harness.forward().tokens) == "Bye"
    assert state.pending_route is None
    state.current_question = one
    assert LETTERS.decode(harness.forward().tokens) == " 1:"
    state.current_question = None
    assert isinstance(harness.forward(), Noop)


def test_all_questions_includes_targets_of_functions():
    one, two, three = questions("1", "2", "3")
    one.on("A", lambda state: two)
    two.then(lambda state: state.missing)
    definition = FlowDefinition("all", one, lambda state: f"said {state.answers}")

    assert [q.name for q in definition.all_questions()] == ["1", "2"]
    two.then(three)
    three.then(route_summary())
    assert [q.name for q in definition.all_questions()] == ["1", "2", "3"]


def test_fields_of_a_question_are_readable():
    question = FlowQuestion(name="q", prompt="?", strategy=ChoicesStrat(["A"]),
                            transitions={"a": "x"}, assignments=[print])  # fmt: skip
    question.branch(lambda state: "y")

    assert question.resolve_route(RequestState("r1"), "A").message == "x"
    assert question.resolve_route(RequestState("r1"), "B").message == "y"
    assert question.assignments == [print]
    assert FlowQuestion[RequestState] is not None
    assert FlowEngine[RequestState] is not None


# The conversation


def test_set_conversation_overrides_the_conversation():
    messages = [{"role": "user", "content": "hi"}]
    set_conversation("r1", messages)
    set_schemas("r1", [{"type": "object"}])
    token = push_request_context("r1")
    try:
        got = get_conversation()
        assert got == messages
        got[0]["content"] = "changed"
        assert get_conversation("r1") == messages
        assert get_schemas() == [{"type": "object"}]
        with pytest.raises(PermissionError):
            get_conversation("r2")
        with pytest.raises(PermissionError):
            set_conversation("r2", [])
        clear_conversation("r1")
        assert get_conversation() == []
    finally:
        pop_request_context(token)
    assert get_conversation() == get_schemas() == []
    with pytest.raises(TypeError):
        set_conversation(3, [])
