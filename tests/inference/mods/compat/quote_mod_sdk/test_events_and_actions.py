"""Every style of using events and actions, in mods that are played."""

import pytest
from concordance_sdk.testing import play
from quote_mods import HEADER, upload


@pytest.mark.parametrize(
    "test",
    [
        'type(event).__name__ == "ForwardPass"',
        "type(event) is ForwardPass",
        "type(event) == ForwardPass",
        "event.__class__ is ForwardPass",
        'event.__class__.__name__ == "ForwardPass"',
        "type(event) in (ForwardPass, Sampled) and not isinstance(event, Sampled)",
        "isinstance(event, ForwardPass)",
        "isinstance(event, (ForwardPass,))",
        "issubclass(type(event), ForwardPass)",
        "{ForwardPass: True}.get(type(event), False)",
        'hasattr(event, "logits")',
        '"logits" in event.__dict__',
        '"logits" in vars(event)',
        'getattr(event, "logits", None) is not None',
        "not isinstance(event, (Added, Prefilled, Sampled))",
    ],
)
def test_every_test_of_an_events_type_works(test):
    definition = upload(f"""
{HEADER}
done = set()

@mod
def m(event, actions, tokenizer):
    if {test} and event.request_id not in done:
        done.add(event.request_id)
        return actions.force_tokens(tokenizer.encode("yes, "))
    return actions.noop()
""")

    assert play(definition, says="you").text == "yes, you"


def test_match_statements_over_events_work():
    definition = upload(f"""
{HEADER}
@mod
def m(event, actions, tokenizer):
    match event:
        case Prefilled(max_steps=steps) if steps < 1:
            return actions.emit_error("none left")
        case ForwardPass(step=0):
            return actions.force_tokens(tokenizer.encode("yes, "))
        case Added(forced=True, added_tokens=[first, *_]):
            assert first == ord("y")
    return None
""")

    assert play(definition, says="you").text == "yes, you"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ("action.n -= 1", "abc."),
        ("action.n = 1", "abc."),
        ("action.tokens.append(ord('!'))", "ab.!"),
        ("action.tokens = None", "abcd!"),
        ("action.__dict__.update(tokens=[ord('?')])", "ab?d!"),
        ("setattr(action, 'tokens', tokenizer.encode('??'))", "ab??"),
        ("action = type(action)(**{**vars(action), 'n': 1})", "abc."),
        ("import copy; action = copy.deepcopy(action); action.tokens *= 2", "ab.."),
    ],
)  # fmt: skip
def test_actions_are_mutable_until_they_are_returned(change, text):
    definition = upload(f"""
{HEADER}
done = set()

@mod
def m(event, actions, tokenizer):
    if isinstance(event, Added) and event.step == 3 and event.request_id not in done:
        done.add(event.request_id)
        action = actions.backtrack(2, tokenizer.encode("."))
        {change}
        return action
""")

    assert play(definition, script="abcd!").text.startswith(text)


def test_events_have_exactly_the_older_attributes():
    definition = upload(
        HEADER
        + """
import copy, pickle
FIRST = ["request_id", "step"]
SEEN = ["hidden_states", "attention_patterns", "layer", "input_ids"]
HAS = {
    Prefilled: [*FIRST, "max_steps", "context_info", *SEEN], ForwardPass: [*FIRST, "logits", *SEEN],
    Sampled: [*FIRST, "sampled_token"], Added: [*FIRST, "added_tokens", "forced"],
}

@mod
def m(event, actions, tokenizer):
    assert list(vars(event)) == list(event.__dict__) == HAS[type(event)]
    assert vars(copy.copy(event)) == vars(event)
    if isinstance(event, Added):
        assert vars(pickle.loads(pickle.dumps(event))) == vars(event)
    assert vars(actions.noop()) == {}
"""
    )

    assert play(definition, says="ab").text == "ab"


def test_events_are_mutable():
    definition = upload(f"""
{HEADER}
@mod
def m(event, actions, tokenizer):
    event.note = "mine"
    if isinstance(event, Added):
        event.added_tokens.append(7)
        event.added_tokens.clear()
    if isinstance(event, Prefilled):
        event.context_info.tokens.reverse()
        event.context_info.mine = True
    if isinstance(event, ForwardPass):
        event.logits = None
    return actions.noop()
""")

    assert play(definition, definition, says="untouched").text == "untouched"


@pytest.mark.parametrize("n", [1, 5, 99])
@pytest.mark.parametrize("event", ["Sampled", "ForwardPass", "Added"])
def test_backtrack_is_limited_to_the_completion(event, n):
    definition = upload(f"""
{HEADER}
done = set()

@mod
def m(event, actions, tokenizer):
    if isinstance(event, {event}) and event.request_id not in done:
        done.add(event.request_id)
        return actions.backtrack({n}, tokenizer.encode("B"))
""")

    assert play(definition, script="abc").text == "Bbc"


def test_subclasses_of_actions_are_actions():
    definition = upload(f"""
{HEADER}
from shared.types import ForceTokens

class Greeting(ForceTokens):
    def __init__(self, tokenizer, text="Hi, "):
        super().__init__(tokenizer.encode(text))

@mod
def m(event, actions, tokenizer):
    if type(event) is ForwardPass and event.step == 0:
        return Greeting(tokenizer)
""")

    assert play(definition, says="you").text == "Hi, you"


def test_sdk_objects_return_noop_when_there_is_nothing_to_do():
    definition = upload(f"""
{HEADER}
from quote_mod_sdk import Noop, create_mod, validate_action
from quote_mod_sdk.flow import FlowEngine, FlowQuestion
from quote_mod_sdk.self_prompt import SelfPrompt
from quote_mod_sdk.strategies import ChoicesStrat

ASKED = SelfPrompt(prompt={{"text": "? "}}, strategy=ChoicesStrat(["a", "b"]))
ENGINE = FlowEngine(entry_question=FlowQuestion("q", "q ", ChoicesStrat(["a", "b"])))
inner = create_mod(lambda event, actions, tokenizer: None)
seen = []

@mod
def m(event, actions, tokenizer):
    assert isinstance(inner(event, tokenizer), Noop)
    assert isinstance(actions.noop(), Noop) and isinstance(validate_action(event, None), Noop)
    if isinstance(event, Prefilled):
        assert isinstance(ENGINE.handle_event(event, actions, tokenizer), Noop)
        assert ASKED.handle_prefilled(event, tokenizer) is None
    if isinstance(event, ForwardPass):
        action = ASKED.handle_forward_pass(event, actions, tokenizer)
        if not isinstance(action, Noop):
            return action
        seen.append(event.step)
    if isinstance(event, Added):
        action = ASKED.handle_added(event, actions, tokenizer)
        return actions.noop() if action is None else action
""")

    assert play(definition, says="ab").text.startswith("? a")
    assert definition.target.__wrapped__.__globals__["seen"]
