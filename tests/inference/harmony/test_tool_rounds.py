"""A gpt-oss whose messages mods write calls tools that the server runs."""

import asyncio
import json

import pytest
from concordance_inference.chat.message_reader import read_message
from concordance_inference.chat.readers import reader_factory
from concordance_inference.generation import Completed, Started, TextDelta
from concordance_inference.hosted_tools import HostedLimits, HostedTools
from concordance_inference.server.app import create_app
from concordance_inference.server.context import ServerContext
from concordance_inference.server.served_models import OneModel
from concordance_sdk import ForwardPass, HostedTool, Prefilled, mod
from concordance_shared import FinishReason, InvalidRequestError, Message
from starlette.testclient import TestClient
from tiny import call

USER = [Message(role="user", content="What is six times seven?")]
CALL = "<|channel|>analysis to=python code<|message|>6 * 7<|call|>"


class Python(HostedTool):
    name = "python"

    def run(self, call):
        return str(eval(call.text))


@pytest.fixture(name="runtime", scope="module")
def _runtime(gpt_oss):
    tools = gpt_oss.chat.hosted_tools
    gpt_oss.chat.hosted_tools = HostedTools([Python()], HostedLimits(calls=2))
    yield gpt_oss
    gpt_oss.chat.hosted_tools = tools


@mod(name="calling")
class Calling:
    """Calls python first, and answers with what it reads."""

    def prefilled(self, event: Prefilled, actions, tokenizer):
        prompt = tokenizer.decode(event.context_info.tokens)
        result = prompt.rpartition("<|start|>python to=assistant<|channel|>analysis<|message|>")[2]
        self.answer = result.partition("<|end|>")[0] if "python to=assistant" in prompt else None

    def forward_pass(self, event: ForwardPass, actions, tokenizer):
        if event.step:
            return None
        if self.answer is None:
            return actions.force_tokens(tokenizer.encode(CALL))
        text = f"<|channel|>final<|message|>It is {self.answer}.<|return|>"
        return actions.force_tokens(tokenizer.encode(text))


@mod(name="insisting")
class Insisting:
    """Calls python in every round in which it may."""

    def forward_pass(self, event: ForwardPass, actions, tokenizer):
        return actions.force_tokens(tokenizer.encode(CALL)) if event.step == 0 else None


def request_of(runtime, *mods, **options):
    mods = tuple(map(call, mods or (Calling,)))
    return runtime.prepare(runtime.request(USER, mods=mods, **options))


def test_the_system_message_describes_the_tools(runtime):
    prompt = runtime.chat.decode(request_of(runtime).prompt_ids)
    assert "# Tools\n\n## python\n\nUse this tool to execute Python code" in prompt
    assert "# Valid channels: analysis, commentary, final." in prompt
    without = runtime.chat.decode(request_of(runtime, hosted_tools=[]).prompt_ids)
    assert "python" not in without


def test_a_completion_has_all_rounds(runtime):
    request = request_of(runtime, max_tokens=80)
    (*updates, completed) = runtime.submit(request)
    assert not [update for update in updates if isinstance(update, TextDelta)]
    assert isinstance(completed, Completed)
    read = read_message(reader_factory(request)(), completed)
    assert (read.reasoning, read.content) == ("6 * 7", "It is 42.")
    (use,) = completed.hosted
    assert (use.tool, use.is_error) == ("python", False)
    assert completed.finish_reason is FinishReason.STOP
    assert completed.prompt_tokens == len(request.prompt_ids)
    assert completed.completion_tokens == completed.forced_tokens
    results = [who for who in completed.forced_by if who == "python"]
    assert len(results) == use.result_tokens
    assert len(completed.forced_by) == len(completed.token_ids)
    text = runtime.chat.decode(completed.token_ids)
    assert CALL + "<|start|>python to=assistant<|channel|>analysis<|message|>42<|end|>" in text


@pytest.mark.parametrize("is_async", [False, True])
def test_a_stream_reads_as_the_whole_completion(runtime, is_async):
    request = request_of(runtime, max_tokens=80, stream=True)

    async def collect():
        return [update async for update in runtime.generate(request)]

    updates = asyncio.run(collect()) if is_async else list(runtime.submit(request))
    reader = reader_factory(request)()
    parts = [part for each in updates if isinstance(each, TextDelta) for part in reader.add(each)]
    parts += reader.end(updates[-1])
    assert "".join(part.text for part in parts) == "6 * 7It is 42."
    assert sum(isinstance(update, Started) for update in updates) == 1
    assert [type(update) for update in updates].count(Completed) == 1


def test_calls_are_bounded_and_the_model_answers_then(runtime):
    request = request_of(runtime, Insisting, max_tokens=300)
    completed = [*runtime.submit(request)][-1]
    assert len(completed.hosted) == 2
    assert runtime.chat.decode(completed.token_ids).endswith(CALL)  # which is not run
    rules = runtime.chat.rules_without_hosted(request)
    assert rules.headers.recipients == ()


@pytest.mark.parametrize(
    "text", ["<|call|>", "<|channel|>analysis to=python code<|message|>6 * 7<|end|><|call|>"]
)
def test_a_call_token_that_ends_no_message_runs_no_tool(runtime, text):
    @mod(name="odd")
    class Odd:
        def forward_pass(self, event: ForwardPass, actions, tokenizer):
            return actions.force_tokens(tokenizer.encode(text)) if event.step == 0 else None

    completed = [*runtime.submit(request_of(runtime, Odd, max_tokens=30))][-1]
    assert isinstance(completed, Completed)
    assert completed.hosted == ()


@mod(name="saying", max_backtrack=0)
class Saying:
    """Samples a call of python, and an answer after its result."""

    def prefilled(self, event: Prefilled, actions, tokenizer):
        prompt = tokenizer.decode(event.context_info.tokens)
        has_called = CALL in prompt and "<|start|>python to=assistant" in prompt
        text = "<|channel|>final<|message|>It is 42.<|return|>" if has_called else CALL
        self.ids = tokenizer.encode(text)

    def forward_pass(self, event: ForwardPass, actions):
        return actions.adjust_logits(allow=[self.ids[event.step]])


@pytest.mark.parametrize("cut", [2, 5, 8])
def test_a_call_that_was_cut_is_resumed_and_run(runtime, cut):
    request = request_of(runtime, Saying, max_tokens=cut)
    assert [*runtime.submit(request)][-1].finish_reason is FinishReason.LENGTH
    resumed = runtime.resume(request.request_id, {"max_tokens": 60})
    completed = [*runtime.submit(runtime.prepare(resumed))][-1]
    assert [use.tool for use in completed.hosted] == ["python"]
    assert runtime.chat.decode(completed.token_ids).endswith("It is 42.<|return|>")


def test_the_budget_is_that_of_all_rounds(runtime):
    completed = [*runtime.submit(request_of(runtime, max_tokens=10))][-1]
    assert completed.completion_tokens <= 10
    assert completed.finish_reason is FinishReason.LENGTH


def test_a_client_gets_one_message_and_what_the_server_ran(runtime):
    context = ServerContext(models=OneModel(runtime, runtime.chat), mods=runtime.mods)
    runtime.mods.add(call(Calling).definition) if hasattr(runtime.mods, "add") else None
    client = TestClient(create_app(context), base_url="http://127.0.0.1:8000")
    body = {"model": runtime.model.id, "messages": [{"role": "user", "content": "Hi"}]}
    wrong = client.post("/v1/chat/completions", json={**body, "hosted_tools": ["shell"]})
    assert wrong.status_code == 400
    assert wrong.json()["error"]["param"] == "hosted_tools[0]"
    right = client.post(
        "/v1/chat/completions", json={**body, "hosted_tools": ["python"], "max_tokens": 3}
    )
    assert right.status_code == 200, json.dumps(right.json())


def test_what_cannot_be_combined_is_refused_by_name(runtime):
    with pytest.raises(InvalidRequestError, match="hosted_tools and stream_options"):
        request_of(runtime, hosted_tools=["python"], stream=True, show_tokens=True)
    assert request_of(runtime, stream=True, show_tokens=True).hosted == ()
