"""Limits of the reasoning of gpt-oss."""

import msgspec
import pytest
from concordance_inference.chat.reasoning_choice import ReasoningChoice
from concordance_inference.engine.config import EngineConfig
from concordance_inference.engine.engine import Engine
from concordance_inference.generation import SamplingParams
from concordance_inference.harmony.channels import HarmonyChannels
from concordance_inference.harmony.format import HarmonyFormat
from concordance_inference.harmony.header_guard import HeaderGuard
from concordance_inference.harmony.offered_headers import legal_headers
from concordance_inference.harmony.place import START, Header, Place
from concordance_inference.resume.ended import EndedCompletions
from concordance_inference.resume.request import resumed_request
from concordance_inference.tools.offer import ToolChoice, tool_offer
from concordance_sdk.builtin import ReasoningBudget
from concordance_sdk.constraints import ChoicesStrat, constrain
from concordance_shared import Conversation, FunctionSchema, Message, Schemas, Tool
from families import build_model
from harmony_bytes import TOKENIZER, TOKENS, TRAITS, VOCAB, named
from msgspec.structs import replace
from tiny import ask, call, make_engine, run, runner_of

ANALYSIS = Place(kind="content", header=Header(channel="analysis"))
FINAL = tuple(named("<|end|><|start|>assistant<|channel|>final<|message|>"))


def channels(opened=ANALYSIS):
    return HarmonyChannels(
        TOKENS, opened=opened, token_bytes=TOKENIZER.token_bytes, encode=TOKENIZER.encode
    )


def request(budget, seed, **fields):
    bias = dict.fromkeys(range(256, VOCAB), -30.0)  # text, so that the budget ends it
    sampling = SamplingParams(temperature=1.0, seed=seed, logit_bias=bias)
    mod = call(ReasoningBudget, max_tokens=budget)
    return ask("Hi", mod, max_tokens=30, sampling=sampling, channels=channels(), **fields)


@pytest.fixture(name="model", scope="module")
def _model():
    return build_model("gpt_oss", vocab_size=VOCAB)


def test_budget_is_exact_alone_in_a_batch_and_in_a_stream(model):
    cases = [(budget, seed, {"stream": seed % 2 == 0}) for budget in (1, 4) for seed in range(2)]
    together = run(make_engine(model, traits=TRAITS), *[request(b, s, **f) for b, s, f in cases])
    alone = [run(make_engine(model, traits=TRAITS), request(b, s)) for b, s, _ in cases]

    assert [each.ids for each in together] == [each.ids for each in alone]
    for (budget, _, _), each in zip(cases, alone, strict=True):
        at = next(i for i in range(len(each.ids)) if each.ids[i : i + len(FINAL)] == FINAL)
        assert budget <= at <= budget + 3  # the rest of a character
        assert each.end.forced_by[at] == "reasoning_budget"


def test_budget_with_tools_holds_where_a_completion_is_resumed(model):
    ended = EndedCompletions(300)
    engine = Engine(
        runner_of(model), TRAITS, EngineConfig(), lambda one: ended.keep("gpt-oss", one)
    )
    tools = (Tool(function=FunctionSchema(name="f")),)
    fields = {"conversation": Conversation(schemas=Schemas(tools=tools)), "stream": False}
    whole = request(2, 3, **fields)
    likes = {**whole.sampling.logit_bias, **dict.fromkeys(b"an", 30.0)}
    whole = replace(whole, sampling=replace(whole.sampling, logit_bias=likes))
    ids = run(engine, whole).ids
    named_channel = ids.index(TOKENS.channel) + 1
    assert ids[named_channel] == ord("n")  # `a` would be `analysis`

    for cut in range(1, named_channel + 2):
        first = replace(whole, request_id=f"cut{cut}", max_tokens=cut)
        begun = run(engine, first).ids
        rest = resumed_request(
            ended.find("gpt-oss", first.request_id),
            {"max_tokens": whole.max_tokens - cut},
            new_decoder=TRAITS.new_decoder,
            context_length=4096,
        )
        assert begun + run(engine, rest).ids == ids, cut


def test_budget_waits_for_the_end_of_a_character(model):
    bias = dict.fromkeys("日".encode(), 100.0)
    sampling = SamplingParams(temperature=0.0, logit_bias=bias, frequency_penalty=2.0)
    mod = call(ReasoningBudget, max_tokens=1)
    for first in range(2):
        done = run(
            make_engine(model, traits=TRAITS),
            ask([*range(first + 1)], mod, max_tokens=30, sampling=sampling, channels=channels()),
        )
        at = next(i for i in range(len(done.ids)) if done.ids[i : i + len(FINAL)] == FINAL)
        cut = bytes(done.ids[:at])
        assert cut.decode(errors="replace") == (cut + b"a").decode(errors="replace")[:-1]


def test_constraint_of_final_holds_after_the_budget_alone_in_a_batch_and_in_a_stream(model):
    verdict = call(constrain(ChoicesStrat(["yes", "no"]), channel="final"))

    def asked(seed, **fields):
        first = request(2, seed, **fields)
        return msgspec.structs.replace(first, mods=(*first.mods, verdict))

    requests = [asked(0), asked(1, stream=True), asked(2)]
    together = run(make_engine(model, traits=TRAITS), *requests)
    alone = [run(make_engine(model, traits=TRAITS), asked(seed)) for seed in range(3)]

    assert [each.ids for each in together] == [each.ids for each in alone]
    for each in alone:
        text = TOKENIZER.decode(each.ids)
        assert text.partition("final<|message|>")[2].partition("<|")[0] in ("yes", "no")


@pytest.mark.parametrize("budget", [0, 2])
def test_header_guard_and_budget_agree_on_the_channels_of_a_request_with_tools(model, budget):
    tool = Tool(function=FunctionSchema(name="look"))
    offer = tool_offer([tool], ToolChoice(), HarmonyFormat.tool_format)
    guard = HeaderGuard(legal_headers(offer), TOKENS, TOKENIZER.encode, TOKENIZER.special_token_ids)
    prompt = named("<|start|>user<|message|>Hi<|end|><|start|>assistant")
    for seed in range(3):
        done = run(
            make_engine(model, traits=TRAITS),
            ask(
                [*prompt, *named("<|channel|>analysis<|message|>")] if budget else prompt,
                call(ReasoningBudget, max_tokens=budget),
                max_tokens=40,
                sampling=SamplingParams(seed=seed),
                channels=channels(ANALYSIS if budget else START),
                conversation=Conversation(schemas=Schemas(tools=(tool,))),
                token_rules=guard,
            ),
        )
        text = TOKENIZER.decode(done.ids)
        assert text.partition("<|channel|>")[2].startswith(("final<|message|>", "commentary"))


def test_effort_none_opens_final_at_the_first_token(gpt_oss, client):
    body = {
        "model": gpt_oss.model.id,
        "messages": [{"role": "user", "content": "Hi"}],
        "reasoning_effort": "none",
        "max_tokens": 6,
        "return_token_ids": True,
    }
    choice = client.post("/v1/chat/completions", json=body).json()["choices"][0]

    assert choice["token_ids"][:3] == [200005, 17196, 200008]
    assert not choice["message"].get("reasoning")


def test_budget_of_a_request_ends_the_reasoning_of_gpt_oss(gpt_oss):
    request = gpt_oss.request(
        (Message(role="user", content="Hi"),), reasoning=ReasoningChoice(max_tokens=7)
    )

    (budget,) = [mod for mod in request.mods if mod.name == "reasoning_budget"]
    assert budget.parameters["max_tokens"] == 7
    assert request.channels.to_final(request.channels.opened) == (200005, 17196, 200008)
