"""The actions of a request that traces show."""

import pytest
from concordance_sdk import Added, Prefilled, Sampled, mod
from concordance_sdk.host import definition_of
from concordance_sdk.host.action_log import MAX_ACTIONS
from concordance_sdk.host.dispatch import ModDispatch
from concordance_sdk.host.instance import InProcessMod
from concordance_sdk.host.request_state import RequestState
from concordance_sdk.testing import ByteTokenizer, ScriptedLogits
from concordance_shared import EmittedError


def log_of(answer, *, num_tokens=3, logs=None):
    """The log of a request after some tokens, with a mod that answers events."""

    @mod(name="probe", max_backtrack=9)
    def probe(event, actions):
        return answer(event, actions)

    instance = InProcessMod(definition_of(probe), {}, tokenizer=ByteTokenizer())
    state = RequestState("r", [1], max_tokens=999, eos_ids={256}, hold=9)
    if logs is not None:
        logs.append(state.actions)
    dispatch = ModDispatch(state, [instance], vocab_size=257)
    dispatch.prefilled()
    for _ in range(num_tokens):
        if state.is_finished:
            break
        if dispatch.forward_pass(ScriptedLogits({97: 1.0}, vocab_size=257)) is not None:
            dispatch.sampled(97)
    return state.actions


@pytest.mark.parametrize(
    ("event", "act", "expected"),
    [
        (Prefilled, lambda actions: actions.adjust_prefill([5]), ("AdjustedPrefill", 0, 0, 0)),
        (Sampled, lambda actions: actions.force_tokens([98, 99]), ("ForceTokens", 0, 2, 0)),
        (Added, lambda actions: actions.backtrack(1, [98, 99]), ("Backtrack", 0, 2, 1)),
        (Sampled, lambda actions: actions.force_output([98]), ("ForceOutput", 0, 1, 0)),
        (
            Sampled,
            lambda actions: actions.tool_calls({"function": {"name": "f", "arguments": {}}}),
            ("ToolCalls", 0, 0, 0),
        ),
    ],
)
def test_a_decision_is_logged_with_its_event_and_tokens(event, act, expected):
    left = [1]

    def once(given, actions):
        if isinstance(given, event) and left:
            left.pop()
            return act(actions)

    (entry,) = log_of(once).entries

    assert (entry.mod, entry.event) == ("probe", event.__name__)
    found = (entry.action, entry.step, entry.forced_tokens, entry.backtracked_tokens)
    assert found == expected
    assert entry.at_ns > 0


def test_an_error_that_a_mod_emits_is_logged():
    logs = []

    def emit(event, actions):
        return actions.emit_error("no")

    with pytest.raises(EmittedError):
        log_of(emit, logs=logs)

    assert [entry.action for entry in logs[0].entries] == ["EmitError"]


def test_adjustments_of_logits_and_reports_are_not_logged():
    def adjust(event, actions):
        if hasattr(event, "logits"):
            return actions.adjust_logits(allow=[97])
        return actions.report(n=1)

    assert log_of(adjust).num_actions == 0


def test_the_first_actions_are_kept_and_all_are_counted():
    def force(event, actions):
        return actions.force_tokens([98]) if isinstance(event, Sampled) else None

    log = log_of(force, num_tokens=150)

    assert (len(log.entries), log.num_actions) == (MAX_ACTIONS, 150)
    assert [entry.step for entry in log.entries] == list(range(MAX_ACTIONS))
