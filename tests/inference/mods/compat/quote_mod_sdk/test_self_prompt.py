"""Self-prompts of `quote_mod_sdk`."""

import pytest
from concordance_sdk.testing import play
from tiny import ask, call, make_engine, run

IMPORTS = """
from quote_mod_sdk import ActionBuilder, Added, ForwardPass, Prefilled, mod
from quote_mod_sdk.self_prompt import EraseMode, SelfPrompt
from quote_mod_sdk.strategies.primitives import CharsMode, UntilEndType
from quote_mod_sdk.strategies.strategy_constructor import (
    CharsStrat, ChoicesStrat, ListStrat, UntilStrat,
)
"""

#: Mods that only need the answer often drop the action returned for `Added`.
BY_EVENT = (
    IMPORTS
    + """
asked = SelfPrompt(
    prompt={prompt},
    strategy={strategy},
    completion={completion},
    erase={erase},
    argmax_sampling=True,
    mask_value=-1e9,
)

@mod
def classify(event, actions: ActionBuilder, tokenizer):
    if isinstance(event, Prefilled):
        asked.handle_prefilled(event, tokenizer)
        return actions.noop()
    if isinstance(event, ForwardPass):
        return asked.handle_forward_pass(event, actions, tokenizer)
    if isinstance(event, Added):
        {added}
    return actions.noop()
"""
)
RETURNED = "return asked.handle_added(event, actions, tokenizer)"
DROPPED = "asked.handle_added(event, actions, tokenizer)"
ENDED = """action = asked.handle_added(event, actions, tokenizer)
        if asked.is_complete(event.request_id):
            return actions.force_output(asked.answer_tokens(event.request_id))
        return action"""


def source(
    strategy="ChoicesStrat(['yes', 'no'])",
    *,
    prompt="{'text': ' Choose: '}",
    completion="None",
    erase="EraseMode.NONE",
    added=RETURNED,
):
    return BY_EVENT.format(
        strategy=strategy, prompt=prompt, completion=completion, erase=erase, added=added
    )


@pytest.mark.parametrize("added", [RETURNED, DROPPED])
@pytest.mark.parametrize(
    ("erase", "text"),
    [
        ("EraseMode.NONE", " Choose: yes\nHello"),
        ("EraseMode.PROMPT", "yesHello"),
        ("EraseMode.ALL", "Hello"),
    ],
)
def test_erase_modes(load, added, erase, text):
    definition = load(source(completion="'\\n'", erase=erase, added=added))

    def model(completion):
        text = bytes(completion).decode()
        if text.endswith("Choose: "):
            return ord("y")
        rest = text.removeprefix(" Choose: ").removeprefix("yes").removeprefix("\n")
        return ord("Hello"[len(rest)]) if len(rest) < 5 else 256

    assert play(definition, script=model).text == text


@pytest.mark.parametrize("prompt", ["'Q: '", "{'text': 'Q: '}", "{'tokens': [81, 58, 32]}"])
@pytest.mark.parametrize("completion", ["'!'", "{'suffix': '!', 'force': True}"])
def test_prompt_and_completion_in_every_form(load, prompt, completion):
    definition = load(source(prompt=prompt, completion=completion))

    assert play(definition, script="___n__").text.startswith("Q: no!")


@pytest.mark.parametrize(
    ("strategy", "says", "answer"),
    [
        ("ChoicesStrat(['red', 'green'])", "g", "green"),
        ("UntilStrat('<answer>', UntilEndType.TAG, '</answer>')", "42</answer>",
         "<answer>42</answer>"),
        ("UntilStrat('', UntilEndType.NEWLINE, '\\n')", "a line\n", "a line"),
        ("UntilStrat('', UntilEndType.ANYCHAR, '.!')", "so it is!", "so it is!"),
        ("CharsStrat(CharsMode.NUMERIC, stop=4, min=4)", "2025", "2025"),
        ("CharsStrat(CharsMode.ALPHANUMERIC, stop='.', min=2)", "ab1.", "ab1"),
        ("ListStrat(elements=ChoicesStrat(['a', 'b']), open='[', close=']', wrap='\"', sep=', ')",
         '"a,b]', '["a", "b"]'),
        ("ListStrat(elements=CharsStrat(CharsMode.STRING, stop='\"'), open='[', close=']', "
         "wrap='\"', sep=', ', end_with='\\n')", '"hi",yo"]', '["hi", "yo"]'),
        ("ListStrat([ChoicesStrat(['x', 'y']), ChoicesStrat(['1', '2'])])", "x2", "x, 2"),
    ],
)  # fmt: skip
def test_strategy_constructors_accept_the_older_arguments(load, strategy, says, answer):
    definition = load(source(strategy, added=ENDED))

    assert play(definition, says=says).text == answer


def test_refresh_responses_changes_the_choices(load):
    definition = load(
        source().replace(
            "asked.handle_prefilled(event, tokenizer)",
            "asked.refresh_responses(['left', 'right'], request_id=event.request_id)",
        )
    )

    assert play(definition, script="_" * 9 + "r").text.startswith(" Choose: right")


def test_self_prompt_mod_registers_a_mod(load):
    definition = load(
        """
from quote_mod_sdk import self_prompt_mod
from quote_mod_sdk.strategies.strategy_constructor import ChoicesStrat

classifier = self_prompt_mod(
    prompt={"text": " Choose: A or B "},
    strategy=ChoicesStrat(["A", "B"]),
    completion={"suffix": "\\n", "force": True},
)
"""
    )

    assert play(definition, script="_" * 16 + "B").text.startswith(" Choose: A or B B\n")


def test_self_prompt_runs_in_the_engine(load):
    definition = load(source(completion="'\\n'", erase="EraseMode.PROMPT"))
    requests = [ask(prompt, call(definition), max_tokens=24) for prompt in ("Hello", "Bye")]
    answers = run(make_engine(), *requests)

    for answer in answers:
        assert bytes(answer.ids).startswith((b"yes", b"no"))
        assert b"Choose" not in bytes(answer.ids)
