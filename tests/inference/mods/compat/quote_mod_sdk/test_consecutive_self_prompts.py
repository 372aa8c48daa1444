"""Consecutive self-prompts, and flows, with actions that mods drop."""

import pytest
from concordance_sdk.testing import play
from quote_mods import HEADER, LOGITS, upload
from tiny import ask, call, make_engine, run

TWO = f"""
{HEADER}
from quote_mod_sdk.self_prompt import EraseMode, SelfPrompt
from quote_mod_sdk.strategies.strategy_constructor import CharsMode, CharsStrat, ChoicesStrat

def asked(name, erase, completion):
    return SelfPrompt(prompt={{"text": f" {{name}}: "}}, strategy=ChoicesStrat(["yes", "no"]),
                      erase=erase, completion=completion)
ASKED = [asked(name, EraseMode.@ERASE, @COMPLETION) for name in "ABC"]

@mod
def m(event, actions, tokenizer):
    rid = event.request_id
    left = [sp for sp in ASKED if not sp.is_complete(rid)]
    if isinstance(event, Prefilled):
        for sp in ASKED:
            sp.handle_prefilled(event, tokenizer)
    if isinstance(event, ForwardPass):
        if left:
            return left[0].handle_forward_pass(event, actions, tokenizer)
        answers = "".join(tokenizer.decode(sp.answer_tokens(rid)) for sp in ASKED)
        return actions.force_tokens(tokenizer.encode("DONE " + answers) + [tokenizer.eos_token_id])
    if isinstance(event, Added) and left:
        @ADDED
    return actions.noop()
"""


@pytest.mark.parametrize(
    "added",
    [
        "left[0].handle_added(event, actions, tokenizer)",
        "return left[0].handle_added(event, actions, tokenizer) or actions.noop()",
        "return left[0].handle_added(event, actions, tokenizer)",
        "[sp.handle_added(event, actions, tokenizer) for sp in left]",
    ],
)
@pytest.mark.parametrize(
    ("erase", "completion", "text"),
    [
        ("NONE", "None", " A: yes B: yes C: yes"),
        ("NONE", "'\\n'", " A: yes\n B: yes\n C: yes\n"),
        ("PROMPT", "None", "yesyesyes"),
        ("PROMPT", "'\\n'", "yesyesyes"),
        ("PROMPT", "' and then '", "yesyesyes"),
        ("ALL", "None", ""),
        ("ALL", "'\\n'", ""),
    ],
)
def test_consecutive_self_prompts(added, erase, completion, text):
    source = TWO.replace("@ERASE", erase).replace("@COMPLETION", completion)
    definition = upload(source.replace("@ADDED", added))

    assert play(definition, script=lambda completion: ord("y")).text == f"{text}DONE yesyesyes"


FLOW = f"""
{HEADER}
from quote_mod_sdk import get_conversation
from quote_mod_sdk.flow import (FlowDefinition, FlowEngine, FlowQuestion, route_message,
    route_output, route_question, route_summary, route_tool)
from quote_mod_sdk.self_prompt import EraseMode
from quote_mod_sdk.strategies.strategy_constructor import ChoicesStrat

def question(name, **options):
    return FlowQuestion(name=name, prompt=f" {{name}}? ", strategy=ChoicesStrat(["yes", "no"]),
                        erase_mode=EraseMode.@ERASE, completion_text=@COMPLETION, **options)
one, two = question("one"), question("two")
calls = []
def call_tool(actions, state, tokenizer):
    calls.append(dict(state.answers))
    return actions.tool_calls({{"name": "look", "arguments": state.answers}})
one.assign(lambda state, answer: state.data.setdefault("said", []).append(answer))
one.on("yes", route_question(two))
two.then(@ROUTE)
DEFINITION = FlowDefinition("all", one, lambda state: f"sum {{state.answers}} {{state.data}}")
ENGINE = FlowEngine(entry_question=one, flows={{"all": DEFINITION}})

@mod
def m(event, actions, tokenizer):
    @HANDLED
"""
ANSWERED = "sum {'one': 'yes', 'two': 'yes'} {'said': ['yes']}"


@pytest.mark.parametrize(
    "handled",
    [
        "return ENGINE.handle_event(event, actions, tokenizer)",
        "answer = ENGINE.handle_event(event, actions, tokenizer)\n"
        "    return None if isinstance(event, Added) else answer",
        "if isinstance(event, (Prefilled, ForwardPass)):\n"
        "        return ENGINE.handle_event(event, actions, tokenizer)\n"
        "    ENGINE.handle_event(event, actions, tokenizer)\n    return actions.noop()",
    ],
)
@pytest.mark.parametrize(
    "asked",
    [
        ("NONE", "'\\n'", " one? yes\n two? yes\n"),
        ("NONE", "''", " one? yes two? yes"),
        ("PROMPT", "'\\n'", "yesyes"),
        ("ALL", "'\\n'", ""),
        ("ALL", "''", ""),
    ],
)
@pytest.mark.parametrize(
    "routed",
    [
        ("route_message('Done.')", "Done."),
        ("'Done.'", "Done."),
        ("lambda state: route_message(state.answers['two'] + '.')", "yes."),
        ("route_output('Only this.')", None),
        ("route_summary()", ANSWERED),
        ("route_tool(call_tool)", None),
        ("route_tool(lambda state: route_message('One argument.'))", "One argument."),
    ],
)
def test_a_flow_continues_if_its_actions_are_dropped(handled, asked, routed):
    (erase, completion, before), (route, end) = asked, routed
    source = FLOW.replace("@ERASE", erase).replace("@COMPLETION", completion)
    definition = upload(source.replace("@ROUTE", route).replace("@HANDLED", handled))
    played = play(definition, script=lambda completion: ord("y"))

    if "route_output" in route:
        assert played.text == "Only this."
    elif "call_tool" in route:
        assert played.tool_calls[0].function.arguments == '{"one":"yes","two":"yes"}'
        assert len(definition.target.__wrapped__.__globals__["calls"]) == 1
    else:
        assert played.text == before + end


def test_a_question_with_an_auto_answer_is_skipped(load):
    source = FLOW.replace("@ERASE", "ALL").replace("@COMPLETION", "''")
    source = source.replace("@ROUTE", "route_message('Done.')")
    knows = "two.with_auto_answer(lambda state: ' no ').on('no', 'Known.')\n\n@mod"
    definition = load(source.replace("@mod", knows).replace(
        "@HANDLED", "return ENGINE.handle_event(event, actions, tokenizer)"))  # fmt: skip

    assert play(definition, says="y").text == "Known."


# In the engine


@pytest.mark.parametrize("erase", ["NONE", "PROMPT", "ALL"])
def test_consecutive_self_prompts_in_the_engine(erase):
    source = TWO.replace("@ERASE", erase).replace("@COMPLETION", "'\\n'")
    two = upload(source.replace("@ADDED", "left[0].handle_added(event, actions, tokenizer)"))
    source = FLOW.replace("@ERASE", erase).replace("@COMPLETION", "'\\n'")
    source = source.replace("@ROUTE", "route_message('Done.')").replace(
        "one.on(", "one.then(two).on("
    )
    flow = upload(
        source.replace("@HANDLED", "return ENGINE.handle_event(event, actions, tokenizer)")
    )
    code = "l[0][x] = -1e9\n        return actions.adjust_logits(Tensor.from_numpy(l))"
    logits = upload(LOGITS.format(header=HEADER, code=code))
    requests = [ask("Hello", call(each), max_tokens=96) for each in (two, flow, logits) * 2]
    texts = [bytes(i for i in answer.ids if i < 256) for answer in run(make_engine(), *requests)]
    begins = {"NONE": b" A: ", "PROMPT": b"", "ALL": b"DONE "}[erase]

    assert texts[:3] == texts[3:]
    assert texts[0].startswith(begins)
    assert b"DONE " in texts[0]
    assert texts[1].endswith(b"Done.")
