"""A gpt-oss whose messages mods write calls tools that the server runs."""

import asyncio
import json
import threading

import pytest
from concordance_inference.branching.branch import BranchPoint
from concordance_inference.chat.message_parts import joined
from concordance_inference.chat.message_reader import read_message, whole_text
from concordance_inference.chat.readers import reader_factory
from concordance_inference.generation import Completed, Started, TextDelta
from concordance_inference.hosted_tools import HostedLimits
from concordance_inference.server.app import create_app
from concordance_inference.server.context import ServerContext
from concordance_inference.server.served_models import OneModel
from concordance_sdk import ForwardPass, HostedTool, Prefilled, mod
from concordance_shared import FinishReason, InvalidRequestError, Message
from starlette.testclient import TestClient
from tiny import call

USER = [Message(role="user", content="What is six times seven?")]
CALL = "<|channel|>analysis to=python code<|message|>6 * 7<|call|>"


STARTED, RELEASED = threading.Event(), threading.Event()


class Python(HostedTool):
    name = "python"

    def run(self, call):
        STARTED.set()
        if "wait" in call.text:
            RELEASED.wait(30)
        return str(eval(call.text))


@pytest.fixture(name="runtime", scope="module")
def _runtime(gpt_oss):
    tools = gpt_oss.hosted_tools
    tools.__init__([Python()], HostedLimits(calls=2))
    yield gpt_oss
    tools.__init__()


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


@mod(name="answering")
class Answering:
    """Answers without a call, or with what it reads."""

    def prefilled(self, event: Prefilled, actions, tokenizer):
        self.is_read = "python to=assistant" in tokenizer.decode(event.context_info.tokens)

    def forward_pass(self, event: ForwardPass, actions, tokenizer):
        if event.step:
            return None
        text = "It is 42." if self.is_read else "I know."
        return actions.force_tokens(
            tokenizer.encode(f"<|channel|>final<|message|>{text}<|return|>")
        )


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


THOUGHT = "<|channel|>analysis<|message|>I compute.<|end|><|start|>assistant"
ANSWER = (
    "<|channel|>analysis<|message|>So 42.<|end|><|start|>assistant<|channel|>final<|message|>42"
)


@mod(name="thinking", max_backtrack=0)
class Thinking:
    """Samples a thought and a call of python, then another thought and an answer."""

    def prefilled(self, event: Prefilled, actions, tokenizer):
        prompt = tokenizer.decode(event.context_info.tokens)
        has_called = "<|start|>python to=assistant" in prompt
        text = f"{ANSWER}<|return|>" if has_called else f"{THOUGHT}{CALL}"
        self.ids = tokenizer.encode(text)
        self.begun = None

    def added(self, event, actions):
        if self.begun is None:  # what a resumed completion has
            self.begun = event.step

    def forward_pass(self, event: ForwardPass, actions):
        return actions.adjust_logits(allow=[self.ids[event.step]])


def read_of(runtime, request):
    """Return what a client has of a request, as reasoning and content, and its tokens."""
    parts, reader = [], reader_factory(request)()
    for update in runtime.submit(request):
        if isinstance(update, TextDelta):
            parts += reader.add(update)
        if isinstance(update, Completed):
            parts += reader.add(whole_text(update)) if not request.stream else []
            parts += reader.end(update)
            return joined(parts), update, reader
    raise AssertionError("it has no end")


@pytest.mark.parametrize("stream", [False, True])
def test_a_completion_cut_after_any_token_of_any_round_is_resumed_as_one(runtime, stream):
    whole, uncut, _ = read_of(runtime, request_of(runtime, Thinking, max_tokens=100))
    num_first = uncut.token_ids.index(runtime.chat.harmony.call) + 1
    cuts = [3, num_first - 1, num_first, num_first + 2, num_first + 4, num_first + 6]
    for cut in [*cuts, uncut.completion_tokens - 2]:
        request = request_of(runtime, Thinking, max_tokens=cut, stream=stream)
        first, begun, _ = read_of(runtime, request)
        resumed = runtime.resume(request.request_id, {"max_tokens": 100, "stream": stream})
        rest, ended, reader = read_of(runtime, runtime.prepare(resumed))

        assert (cut, begun.finish_reason) == (cut, FinishReason.LENGTH)
        assert (cut, begun.token_ids + ended.token_ids) == (cut, uncut.token_ids)
        replaced = reader.about().get("replaced", {})
        kept = first.reasoning[: len(first.reasoning) - replaced.get("reasoning", 0)]
        assert kept + rest.reasoning == whole.reasoning == "I compute.\n\n6 * 7\n\nSo 42."
        assert first.content + rest.content == whole.content == "42"
        assert len(begun.hosted) + len(ended.hosted) == 1
        assert begun.completion_tokens + ended.completion_tokens == uncut.completion_tokens


def test_calls_before_a_cut_count_in_the_limit(runtime):
    request = request_of(runtime, Insisting, max_tokens=300)
    length = len(runtime.chat.tokenizer.encode_prompt(CALL))
    uncut = [*runtime.submit(request)][-1]
    cut = request_of(runtime, Insisting, max_tokens=length)
    assert [*runtime.submit(cut)][-1].finish_reason is FinishReason.LENGTH
    resumed = [*runtime.submit(runtime.prepare(runtime.resume(cut.request_id, {})))][-1]
    assert len(resumed.hosted) == len(uncut.hosted) == 2


def test_a_call_is_resumed_from_an_event_loop(runtime):
    length = len(runtime.chat.tokenizer.encode_prompt(CALL))
    request = request_of(runtime, Calling, max_tokens=length)
    first = [*runtime.submit(request)][-1]
    resumed = runtime.prepare(runtime.resume(request.request_id, {"stream": True}))

    async def collect():
        return [update async for update in runtime.generate(resumed)]

    updates = asyncio.run(collect())
    assert first.token_ids[-1] == runtime.chat.harmony.call
    assert isinstance(updates[0], Started)
    assert updates[0].prompt_tokens == len(request.prompt_ids) + length
    assert runtime.chat.decode(updates[-1].token_ids).endswith("It is 42.<|return|>")


@mod(name="waiting")
class Waiting:
    """Calls python, which waits."""

    def forward_pass(self, event: ForwardPass, actions, tokenizer):
        text = CALL.replace("6 * 7", "6 * 7 # wait")
        return actions.force_tokens(tokenizer.encode(text)) if event.step == 0 else None


@pytest.mark.parametrize("is_async", [False, True])
def test_a_request_is_cancelled_while_its_tool_runs(runtime, is_async):
    STARTED.clear()
    RELEASED.clear()
    request = request_of(runtime, Waiting, max_tokens=80)

    def cancel():
        STARTED.wait(30)
        runtime.control.cancel(request.request_id)

    async def collect():
        return [update async for update in runtime.generate(request)]

    canceller = threading.Thread(target=cancel)
    canceller.start()
    updates = asyncio.run(collect()) if is_async else [*runtime.submit(request)]
    canceller.join()
    RELEASED.set()

    assert updates[-1].finish_reason is FinishReason.CANCELLED
    assert runtime.resume(request.request_id, {}).beginning is not None


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


def test_a_branch_calls_tools_that_the_server_runs(runtime):
    parent = request_of(runtime, Answering)
    for _ in runtime.submit(parent):
        pass
    point = BranchPoint(id=parent.request_id, position=0, text=CALL)
    *_, end = runtime.submit(runtime.prepare(runtime.branch(point, {})))

    assert [use.tool for use in end.hosted] == ["python"]
    assert "It is 42." in end.text
    assert end.text.startswith("<|channel|>analysis to=python")


def test_a_completion_that_called_such_tools_is_not_branched_from(runtime):
    parent = request_of(runtime)
    for _ in runtime.submit(parent):
        pass

    with pytest.raises(InvalidRequestError, match="send its conversation as messages"):
        runtime.branch(BranchPoint(id=parent.request_id, position=1), {})
