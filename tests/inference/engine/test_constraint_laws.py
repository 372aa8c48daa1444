"""The laws for constraints, self-prompts and flows."""

import mlx.core as mx
import numpy as np
import pytest
from concordance_inference.engine.model.runner import ModelRunner
from concordance_inference.generation import SamplingParams
from concordance_sdk import Added, ForwardPass, mod
from concordance_sdk.constraints import (
    CharsMode,
    CharsStrat,
    ChoicesStrat,
    JsonSchema,
    ListStrat,
    Regex,
    UntilEndType,
    UntilStrat,
    allows,
    constrain,
)
from concordance_sdk.flow import FlowEngine, FlowQuestion, route_summary
from concordance_sdk.self_prompt import EraseMode, SelfPrompt, self_prompt_mod
from families import FAMILIES, model_named
from tiny import ask, fresh_logits, make_engine, run

TOLERANCE = 2e-3
WORD = CharsStrat(CharsMode.ALPHA, min=1, stop=6)
PERSON = JsonSchema(
    {
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 8},
            "age": {"type": "integer", "minimum": 0, "maximum": 120},
            "tags": {"type": "array", "items": {"enum": ["a", "ab", "b"]}, "maxItems": 3},
        },
        "required": ["name", "age", "tags"],
        "additionalProperties": False,
    }
)
COLOUR = ChoicesStrat(["red", "redder", "blue"])


def flow(erase):
    """A flow with a branch, and questions with different constraints."""
    word = FlowQuestion("word", "A word: ", WORD, erase=erase)
    number = FlowQuestion("number", "A number: ", Regex("[0-9]{1,4}"), erase=erase)
    colour = FlowQuestion("colour", "A colour: ", COLOUR, erase=erase)
    colour.on("blue", number.then(route_summary())).then(word.then(number))
    engine = FlowEngine(entry_question=colour)

    @mod(name=f"flow_{erase}", max_backtrack=None)
    def asks(event, actions, tokenizer):
        return engine.handle_event(event, actions, tokenizer)

    return asks


def mods():
    """Return eight different mods, by name."""
    until = UntilStrat("<t>", UntilEndType.ANYCHAR, "!\n\0xyz")
    words = ListStrat(WORD, open="[", close="]", min=1, max=4, end_with=";")
    return {
        "json": constrain(PERSON, name="json"),
        "choices": constrain(COLOUR, name="choices", ends=False),
        "list": constrain(words, name="list"),
        "prompt kept": self_prompt_mod(prompt="Colour: ", constraint=COLOUR, name="kept"),
        "prompt erased": self_prompt_mod(
            prompt="Words: ", constraint=words, erase=EraseMode.PROMPT, name="erased"
        ),
        "all erased": self_prompt_mod(
            prompt="Think: ", constraint=until, suffix="\n", erase=EraseMode.ALL, name="hidden"
        ),
        "flow": flow(EraseMode.NONE),
        "hidden flow": flow(EraseMode.ALL),
    }


def requests(**fields):
    for i, (name, made) in enumerate(mods().items()):
        sampling = SamplingParams(temperature=(1.0, 0.0)[i % 2], seed=i)
        yield name, ask(f"{i} Say: ", made, max_tokens=60 + i, sampling=sampling, **fields)


@pytest.mark.parametrize("family", FAMILIES)
def test_constrained_text_is_the_same_alone_and_in_a_batch_of_eight(family):
    model = model_named(family)
    alone = {name: run(make_engine(model), request).end.text for name, request in requests()}
    engine = make_engine(model, max_rows=8)
    names, asked = zip(*requests(), strict=True)
    together = dict(zip(names, (a.end.text for a in run(engine, *asked)), strict=True))

    assert together == alone
    assert (
        allows(PERSON, alone["json"]) or len(alone["json"].encode()) >= 60
    )  # truncated by max_tokens


@pytest.mark.parametrize("family", FAMILIES)
def test_constrained_text_is_the_same_when_rows_are_reused(family):
    model = model_named(family)
    alone = [run(make_engine(model), request).end.text for _, request in requests()]
    in_turns = run(make_engine(model, max_rows=3, chunk=4), *(r for _, r in requests()))

    assert [answers.end.text for answers in in_turns] == alone


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_do_not_depend_on_erased_text(family):
    model = model_named(family)
    engine = make_engine(model, margin=6)
    checks = []

    @mod(name="witness", on=[ForwardPass], max_backtrack=0)
    def witness(event, actions):
        (row,) = [r for r in engine.rows if r.request.request_id == event.request_id]
        checks.append((list(row.state.token_ids), event.logits.to_numpy()))

    for i, made in enumerate(mods().values()):
        run(engine, ask("Say: ", witness, made, max_tokens=50, sampling=SamplingParams(seed=i)))

    assert len(checks) > 100
    for ids, row in checks:
        assert np.abs(row - np.array(fresh_logits(model, ids))).max() < TOLERANCE, len(ids)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("erase", "kept"), [(EraseMode.PROMPT, "answer"), (EraseMode.ALL, "")])
def test_an_erased_self_prompt_leaves_no_trace_in_text_and_logits(family, erase, kept):
    """The next logits equal those of a fresh prefill of the remaining text."""
    model = model_named(family)
    engine = make_engine(model, margin=4)
    question = SelfPrompt(
        prompt="A long prompt, longer than any margin: ",
        constraint=ChoicesStrat(["answer"]),
        erase=erase,
    )
    seen = []

    @mod(name="asks", max_backtrack=None)
    def asks(event, actions, tokenizer):
        if isinstance(event, ForwardPass) and question.is_complete(event.request_id):
            seen.append(event.logits.to_numpy())
        return question.handle_event(event, actions, tokenizer)

    answers = run(engine, ask("Say: ", asks, max_tokens=60))
    fresh = fresh_logits(model, b"Say: " + kept.encode())
    top_id = int(mx.argmax(fresh).item())

    assert np.abs(seen[0] - np.array(fresh)).max() < TOLERANCE
    assert answers.ids[: len(kept) + 1] == (*kept.encode(), top_id)
    assert answers.end.text.startswith(kept)


def test_a_constrained_stream_has_the_text_of_an_unstreamed_request():
    model = model_named("llama")
    plain = [run(make_engine(model), request).end.text for _, request in requests()]
    streamed = run(make_engine(model), *(r for _, r in requests(stream=True)))

    assert [answers.shown for answers in streamed] == plain


def test_forced_text_is_processed_in_one_pass(monkeypatch):
    """Eleven characters of the key are forced together; every launched pass is counted."""
    model = model_named("llama")
    engine = make_engine(model)
    sizes = []
    forward = ModelRunner.forward

    def counted(self, plan, sampled):
        sizes.extend(pass_.num_tokens for pass_ in plan.passes)
        return forward(self, plan, sampled)

    monkeypatch.setattr(ModelRunner, "forward", counted)
    flag = JsonSchema(
        {
            "type": "object",
            "properties": {"is_it_so": {"type": "boolean"}},
            "required": ["is_it_so"],
            "additionalProperties": False,
        }
    )
    answers = run(engine, ask("Say: ", constrain(flag), max_tokens=40))

    assert answers.end.text in ('{"is_it_so": true}', '{"is_it_so": false}')
    # the prompt, the forced prefix, and the letter that was processed speculatively
    assert sizes == [5, len('{"is_it_so": '), 1]


def test_a_constraint_holds_after_a_mod_backtracks_forced_tokens():
    backtracked = []

    @mod(on=[Added], max_backtrack=None)
    def meddle(event, actions):
        if event.forced and len(event.added_tokens) > 6 and len(backtracked) < 3:
            backtracked.append(event)
            return actions.backtrack(4)

    for order in ((meddle, constrain(PERSON)), (constrain(PERSON), meddle)):
        backtracked.clear()
        sampling = SamplingParams(temperature=1, seed=5)
        answers = run(make_engine(), ask("Say: ", *order, max_tokens=200, sampling=sampling))

        assert allows(PERSON, answers.end.text)
