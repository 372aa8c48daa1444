"""The Python API, on a tiny random model in a folder."""

import asyncio
import gc
import threading
import time

import pytest
from concordance_inference import LLM, Completion
from concordance_inference.engine.config import EngineConfig
from concordance_inference.generation import TextDelta
from concordance_inference.models.options import ModelOptions
from concordance_inference.resume.ended import UnknownCompletionError
from concordance_sdk import (
    Added,
    Finished,
    FinishReason,
    ForwardPass,
    Message,
    ModRaisedError,
    ModReport,
    Prefilled,
    get_conversation,
    mod,
    use,
)
from concordance_shared import (
    ConcordanceError,
    ContextLengthError,
    EngineError,
    EngineStoppedError,
    InvalidRequestError,
    ModelLoadError,
    UnknownModError,
)
from msgspec.structs import replace
from tiny_folder import write_tiny_folder

USER = {"role": "user", "content": "Hello"}


@pytest.fixture(name="folder", scope="module")
def _folder(tmp_path_factory):
    return write_tiny_folder(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(name="llm", scope="module")
def _llm(folder):
    with LLM(folder, config=EngineConfig(max_rows=4)) as llm:
        yield llm


def unnamed(completion):
    """A completion without its id."""
    return replace(completion, id="")


@mod(registered=False)
class Begin:
    text: str = "Hi"

    def forward_pass(self, event, actions, tokenizer):
        if event.step == 0:
            return actions.force_tokens(tokenizer.encode(self.text))


@mod(on=[Added], registered=False)
def redo(event, actions, tokenizer):
    if event.step == 2 and not event.forced:
        return actions.backtrack(2, tokenizer.encode("<&>"))


@mod(on=[ForwardPass], registered=False)
def broken(event, actions):
    raise ValueError("no")


class _Held:
    """A mod that stops the engine in step 60 until `leave` is set."""

    def __init__(self):
        self.entered, self.leave = entered, leave = threading.Event(), threading.Event()

        @mod(on=[Added], registered=False, max_backtrack=0)  # text is sent at once
        def waits(event, actions):
            if event.step == 60:
                entered.set()
                assert leave.wait(20)

        self.mod = waits


@pytest.fixture(name="held")
def _held():
    held = _Held()
    yield held
    held.leave.set()


# Completions


def test_generate_continues_text_and_returns_its_tokens(llm):
    done = llm.generate("Hello", max_tokens=8, temperature=0)

    assert isinstance(done, Completion)
    assert done.prompt_ids == tuple(llm.start()._running().loaded.tokenizer.encode("Hello"))
    assert len(done.token_ids) == done.usage.completion_tokens <= 8
    assert "".join(token.text for token in done.tokens) == done.text
    assert tuple(token.token_id for token in done.tokens) == done.token_ids
    assert {token.provenance for token in done.tokens} == {"sampled"}
    assert done.usage.prompt_tokens == 5


def test_chat_renders_messages_by_the_template(llm):
    text = llm.generate("u:Hello|a:", max_tokens=4, temperature=0)

    for done in (
        llm.chat("Hello", max_tokens=4, temperature=0),
        llm.chat([USER], max_tokens=4, temperature=0),
        llm.generate([Message(role="user", content="Hello")], max_tokens=4, temperature=0),
        llm.generate(text.prompt_ids, max_tokens=4, temperature=0),
    ):
        assert (done.prompt_ids, done.token_ids) == (text.prompt_ids, text.token_ids)


def test_chat_continues_the_last_message(llm):
    text = llm.generate("u:Hello|a:So", max_tokens=1).prompt_ids
    messages = [USER, {"role": "assistant", "content": "So"}]

    assert llm.chat(messages, max_tokens=1, continue_final_message=True).prompt_ids == text


def test_chat_ends_without_a_generation_prompt(llm):
    text = llm.generate("u:Hello|", max_tokens=1).prompt_ids

    assert llm.chat("Hello", max_tokens=1, add_generation_prompt=False).prompt_ids == text


def test_the_name_of_a_control_token_in_a_message_is_text(llm):
    eos = 256
    asked = llm.chat("a<eos>b", max_tokens=1).prompt_ids
    allowed = llm.chat("a<eos>b", max_tokens=1, allow_control_tokens=True).prompt_ids
    whole = llm.generate("u:a<eos>b|a:", max_tokens=1).prompt_ids

    assert eos not in asked
    assert allowed == whole
    assert eos in whole
    assert len(asked) == len("u:a<eos>b|a:")


def test_mods_see_messages_as_they_are_given(llm):
    @mod(on=[Prefilled], registered=False)
    def shows(event, actions):
        return actions.report(text=get_conversation()[-1].text)

    done = llm.chat("a<eos>b", mods=[shows], max_tokens=1)

    assert done.reports[0].data == {"text": "a<eos>b"}


def test_chat_takes_tool_calls_without_an_id_and_with_an_object_as_arguments(llm):
    call = {"function": {"name": "f", "arguments": {"a": 1}}}
    messages = [USER, {"role": "assistant", "tool_calls": [call]}]

    assert llm.chat(messages, max_tokens=1)


def test_the_same_seed_gives_the_same_completion(llm):
    first, second, other = (llm.generate("Hello", max_tokens=12, seed=s) for s in (1, 1, 2))

    assert first.token_ids == second.token_ids != other.token_ids


def test_max_tokens_none_is_limited_by_the_context_only(llm):
    done = llm.generate("x" * 100, max_tokens=None, temperature=0, logit_bias={256: -100})

    assert done.finish_reason is FinishReason.LENGTH
    assert done.usage.completion_tokens == 28


def test_a_stop_string_ends_the_text(llm):
    done = llm.generate("Hello", mods=[use(Begin, text="one. two")], stop=".", max_tokens=20)

    assert (done.text, done.finish_reason) == ("one", FinishReason.STOP)


def test_stop_tokens_min_tokens_and_ignore_eos(llm):
    plain = llm.generate("Hello", max_tokens=6, temperature=0, ignore_eos=True)
    last = plain.token_ids[2]
    stopped = llm.generate("Hello", max_tokens=6, temperature=0, stop_token_ids=[last])
    longer = llm.generate("Hello", max_tokens=6, temperature=0, stop_token_ids=[last], min_tokens=6)

    assert stopped.token_ids == plain.token_ids[: plain.token_ids.index(last) + 1]
    assert last not in longer.token_ids
    with pytest.raises(InvalidRequestError, match="lower it to at most 3"):
        llm.generate("Hello", max_tokens=3, min_tokens=4)
    with pytest.raises(InvalidRequestError, match=r"stop_token_ids\[0\]"):
        llm.generate("Hello", stop_token_ids=[10**6])


def test_an_empty_stop_string_is_ignored(llm):
    assert llm.generate("Hello", max_tokens=3, stop="").usage.completion_tokens == 3


def test_logprobs_have_an_entry_for_each_token(llm):
    done = llm.generate("Hello", max_tokens=4, logprobs=2, seed=1)

    assert [entry.token_id for entry in done.logprobs] == list(done.token_ids)
    assert all(len(entry.top) == 2 for entry in done.logprobs)
    assert llm.generate("Hello", max_tokens=1, logprobs=True).logprobs[0].top == ()
    assert llm.generate("Hello", max_tokens=1, logprobs=False).logprobs == ()


# Provenance


def test_each_token_names_the_mod_that_forced_or_backtracked_it(llm):
    done = llm.generate("Hello", mods=[Begin, redo], max_tokens=8, temperature=0)
    seen = [(t.provenance, t.forced_by, t.backtracked_by) for t in done.trace]

    assert done.text.startswith("H")
    assert seen[:6] == [
        ("forced", "begin", None),
        ("backtracked", "begin", "redo"),
        ("backtracked", None, "redo"),
        *[("forced", "redo", None)] * 3,
    ]
    assert done.usage.backtracked_tokens == 2
    assert done.usage.forced_tokens == 4
    assert tuple(token.token_id for token in done.tokens) == done.token_ids


def test_a_notebook_shows_escaped_tokens_coloured_by_provenance(llm):
    html = llm.generate("Hello", mods=[Begin, redo], max_tokens=8, temperature=0)._repr_html_()

    assert "&lt;</span>" in html
    assert "<&>" not in html
    assert 'title="forced by redo"' in html
    assert 'title="forced by begin, backtracked by redo"' in html
    for name in ("sampled", "forced", "backtracked"):
        assert f">{name}</span>" in html


# Mods


def test_mods_are_given_by_name_or_with_parameters_or_as_they_are(llm):
    for given, text in (("greeting", "Ahoy!"), (use(Begin, text="Oh"), "Oh"), (Begin, "Hi")):
        assert llm.generate("Hello", mods=[given], max_tokens=20).text.startswith(text)


def test_mods_of_a_file_are_known_by_name(folder, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "from concordance_sdk import ForwardPass, mod\n"
        "@mod(on=[ForwardPass])\n"
        "def mine(event, actions, tokenizer):\n"
        "    return actions.force_output(tokenizer.encode('mine'))\n"
    )
    with LLM(folder, mod_paths=[file]) as llm:
        assert llm.generate("Hello", mods=["mine"]).text == "mine"


def test_a_mods_error_is_the_requests(llm):
    with pytest.raises(ModRaisedError, match="broken"):
        llm.generate("Hello", mods=[broken])


# Reports


@mod(on=[ForwardPass, Finished], registered=False)
def reporter(event, actions):
    if event.step in (0, 3):
        return actions.report(event=type(event).__name__)


REPORTS = (
    ModReport(mod="reporter", step=0, data={"event": "ForwardPass"}),
    ModReport(mod="reporter", step=3, data={"event": "Finished"}),
)


def test_a_completion_has_the_reports_of_its_mods(llm):
    options = {"max_tokens": 3, "logit_bias": {256: -100}, "mods": [reporter]}
    stream = llm.generate("Hello", stream=True, **options)

    assert llm.generate("Hello", **options).reports == REPORTS
    assert stream.result().reports == tuple(stream.reports) == REPORTS


def test_an_async_stream_has_the_reports_so_far(llm):
    async def streamed():
        options = {"max_tokens": 3, "logit_bias": {256: -100}, "mods": [reporter]}
        async with await llm.agenerate("Hello", stream=True, **options) as stream:
            await anext(stream)
            return len(stream.reports), (await stream.result()).reports, tuple(stream.reports)

    num_first, reports, of_stream = asyncio.run(streamed())
    assert num_first in (1, 2)
    assert reports == of_stream == REPORTS


def test_an_error_has_the_reports_that_were_made_before(llm):
    with pytest.raises(ModRaisedError) as caught:
        llm.generate("Hello", mods=[reporter, broken])

    assert caught.value.reports[0] == REPORTS[0]


# Streams


def test_a_stream_gives_the_text_in_pieces_and_then_the_completion(llm):
    stream = llm.generate("Hello", max_tokens=12, seed=3, stream=True)
    pieces = list(stream)

    assert all(isinstance(piece, TextDelta) for piece in pieces)
    assert "".join(piece.text for piece in pieces) == stream.result().text
    assert unnamed(stream.result()) == unnamed(llm.generate("Hello", max_tokens=12, seed=3))


@pytest.mark.parametrize("how", ["closed", "dropped"])
def test_closing_or_dropping_a_stream_cancels_its_request(llm, how):
    stream = llm.generate("Hello", max_tokens=100, logit_bias={256: -100}, stream=True)
    next(stream)
    if how == "closed":
        stream.close()
        with pytest.raises(InvalidRequestError, match="closed before the completion ended"):
            stream.result()
    del stream
    gc.collect()

    assert llm.generate("Hello", max_tokens=1).usage.completion_tokens == 1
    assert llm._running().engine.num_unfinished == 0


# Batches


def test_a_list_of_prompts_runs_as_one_batch_in_order(llm):
    prompts = ["one", "two", [USER], [1, 2, 3]]
    together = llm.generate(prompts, max_tokens=6, seed=1)

    assert [done.prompt_ids for done in together] == [
        llm.generate(prompt, max_tokens=1).prompt_ids for prompt in prompts
    ]
    assert llm.chat(["Hello", [USER]], max_tokens=3, seed=1)[0].prompt_ids == (
        together[2].prompt_ids
    )
    assert llm.generate([]) == []


def test_a_batch_may_be_larger_than_the_rows_and_the_servers_queue(folder):
    config = EngineConfig(max_rows=2, max_waiting=0)
    with LLM(folder, config=config) as llm:
        assert len(llm.generate(["Hello"] * 20, max_tokens=1)) == 20


def test_streams_of_a_list_run_together(llm):
    first, second = llm.generate(["one", "two"], max_tokens=100, stream=True)
    done = second.result()

    assert first.result().prompt_ids != done.prompt_ids


def test_an_error_in_a_batch_belongs_to_its_prompt(llm):
    prompts = ["one", "x" * 500, "two"]

    with pytest.raises(ContextLengthError, match="128 tokens") as raised:
        llm.generate(prompts, max_tokens=2)
    assert raised.value.__notes__ == ["prompt 1 of a list of 3"]

    one, long, two = llm.generate(prompts, max_tokens=2, return_errors=True)
    assert isinstance(long, ContextLengthError)
    assert isinstance(one, Completion)
    assert isinstance(two, Completion)

    one, long, two = llm.generate(prompts, max_tokens=2, stream=True)
    assert one.result().usage.completion_tokens == 2
    with pytest.raises(ContextLengthError):
        next(long)


# From an event loop


def test_async_twins_give_what_the_others_give(llm):
    options = {"max_tokens": 6, "seed": 1}

    async def results():
        return (
            await llm.agenerate("Hello", **options),
            await llm.achat([[USER], "Hello"], **options),
        )

    one, batch = asyncio.run(results())
    assert unnamed(one) == unnamed(llm.generate("Hello", **options))
    assert [done.text for done in batch] == [llm.chat("Hello", **options).text] * 2


def test_a_closed_async_stream_has_no_result(llm):
    async def closed(num_read):
        stream = await llm.agenerate("Hello", max_tokens=90, logit_bias={256: -100}, stream=True)
        for _ in range(num_read):
            await anext(stream)
        await stream.aclose()
        await stream.result()

    for num_read in (0, 1):
        with pytest.raises(InvalidRequestError, match="closed before the completion ended"):
            asyncio.run(closed(num_read))


def test_an_async_stream_can_be_closed_while_another_task_reads_it(llm, held):
    async def closed():
        stream = await llm.agenerate(
            "Hello", max_tokens=90, seed=1, logit_bias={256: -100}, stream=True, mods=[held.mod]
        )
        await anext(stream)
        reader = asyncio.create_task(stream.result())
        await asyncio.sleep(0)
        await stream.aclose()
        held.leave.set()
        return await reader

    assert asyncio.run(closed()).finish_reason is FinishReason.CANCELLED


def test_an_async_stream_gives_text_and_then_the_completion(llm):
    async def streamed():
        async with await llm.agenerate("Hello", max_tokens=9, seed=1, stream=True) as stream:
            return "".join([delta.text async for delta in stream]), await stream.result()

    text, done = asyncio.run(streamed())
    assert text == done.text


def test_cancelling_an_async_call_cancels_its_requests(llm, held):
    async def cancelled():
        task = asyncio.create_task(
            llm.agenerate(list("abcdef"), max_tokens=120, logit_bias={256: -100}, mods=[held.mod])
        )
        await asyncio.to_thread(held.entered.wait, 20)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        held.leave.set()

    asyncio.run(cancelled())
    llm.generate("Hello", max_tokens=1)
    assert llm._running().engine.num_unfinished == 0


def test_async_errors_belong_to_their_prompts(llm):
    async def failed():
        with pytest.raises(ModRaisedError):
            await llm.agenerate("Hello", mods=[broken])
        return await llm.agenerate(["ok", "x" * 500], max_tokens=1, return_errors=True)

    one, long = asyncio.run(failed())
    assert isinstance(one, Completion)
    assert isinstance(long, ContextLengthError)


# Loading and closing


def test_the_model_is_loaded_on_first_use_and_closed_once(folder):
    llm = LLM(str(folder))
    assert llm.generate("Hello", max_tokens=1).usage.completion_tokens == 1

    llm.close()
    llm.close()
    with pytest.raises(EngineStoppedError, match="closed"):
        llm.generate("Hello")


def test_closing_ends_each_running_batch_with_an_error_of_its_own(folder):
    llm = LLM(folder).start()
    errors = []

    def run():
        try:
            llm.generate(["Hello"] * 3, max_tokens=120, logit_bias={256: -100})
        except EngineStoppedError as exc:
            errors.append(exc)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    while llm._running().engine.num_unfinished < 6:
        time.sleep(0.001)
    llm.close()
    for thread in threads:
        thread.join()

    assert [error.__notes__ for error in errors] == [["prompt 0 of a list of 3"]] * 2


def test_a_mod_that_generates_with_its_own_model_is_refused_and_may_close_it(folder):
    llm = LLM(folder).start()

    @mod(on=[ForwardPass], registered=False)
    def nested(event, actions):
        llm.generate("Hello", max_tokens=1)

    @mod(on=[ForwardPass], registered=False)
    def closes(event, actions):
        llm.close()

    with pytest.raises(ModRaisedError, match="the engine would wait for itself"):
        llm.generate("Hello", mods=[nested])
    with pytest.raises(EngineStoppedError):
        llm.generate("Hello", mods=[closes], max_tokens=100, logit_bias={256: -100})
    with pytest.raises(EngineStoppedError, match="closed"):
        llm.generate("Hello")


def test_a_model_that_does_not_exist_is_an_error_of_loading(tmp_path):
    with pytest.raises(ModelLoadError, match="nowhere"), LLM(tmp_path / "nowhere"):
        pass


def test_the_package_has_no_other_names():
    import concordance_inference

    with pytest.raises(AttributeError, match="LMM"):
        _ = concordance_inference.LMM


def test_parameters_that_are_not_given_have_the_models_defaults(tmp_path):
    folder = write_tiny_folder(tmp_path / "tiny")
    (folder / "generation_config.json").write_text('{"temperature": 0}')
    with LLM(folder) as llm:
        texts = {llm.generate("a", seed=seed, max_tokens=6).text for seed in range(3)}
        texts.add(llm.generate("a", temperature=None, max_tokens=6).text)
        warm = {llm.generate("a", temperature=1, seed=i, max_tokens=6).text for i in range(3)}

    assert len(texts) == 1
    assert len(warm) == 3
    openai = ModelOptions(sampling_defaults="openai")
    with LLM(folder, options=openai) as llm:
        assert len({llm.generate("a", seed=i, max_tokens=6).text for i in range(3)}) == 3


# Bad input


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temprature": 1}, "no option 'temprature'; the options are: mods, stream"),
        ({"temperature": -1}, "temperature: expected `float` >= 0"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"temperature": "hot"}, "temperature: expected `float`, got `str`"),
        ({"max_tokens": 0}, "max_tokens: expected `int` >= 1"),
        ({"stop": 3}, "stop: expected"),
        ({"logprobs": 1000}, "logprobs: expected `int` <="),
        ({"logit_bias": {257: 1}}, "logit_bias: '257' is not the id of one of"),
        ({"logit_bias": {-1: 1}}, "logit_bias: '-1' is not the id of one of"),
        ({"logit_bias": {"a": 1}}, "logit_bias"),
        ({"logit_bias": {1: float("inf")}}, r"logit_bias\[1\] is inf"),
        ({"seed": 2**70}, "seed"),
        ({"mods": "greeting"}, "give a list of mods"),
        ({"mods": Begin}, "give a list of mods"),
        ({"mods": [use]}, "use"),
        ({"tools": [{"function": {"name": "\ud800"}}], "mods": ["greeting"]}, "tools: character 0"),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "x", "schema": {"type": "int"}},
                }
            },
            "'int' is not a type",
        ),
        ({"chat_template_kwargs": {"think": True}}, "reads no variable of this name"),
        (
            {"continue_final_message": True, "add_generation_prompt": True},
            "set only one of them",
        ),
        ({"continue_final_message": 1}, "continue_final_message: expected `bool"),
    ],
)
def test_a_wrong_option_is_refused_by_its_name(llm, options, message):
    with pytest.raises(ConcordanceError, match=message):
        llm.chat("Hello", **options)


@pytest.mark.parametrize(
    "option", ["continue_final_message", "allow_control_tokens", "add_generation_prompt"]
)
def test_an_option_of_messages_is_refused_for_text(llm, option):
    value = option != "add_generation_prompt"

    with pytest.raises(ConcordanceError, match=option):
        llm.generate("Hello", **{option: value})


def test_an_unknown_mod_is_refused_by_its_name(llm):
    with pytest.raises(UnknownModError, match="there is no mod 'nothing'"):
        llm.generate("Hello", mods=["nothing"])


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("", "prompt: it is empty"),
        (5, "prompts is 5; give text, a list of messages"),
        (b"Hello", "give text"),
        ([None], r"prompts\[0\] is None"),
        ([1, -1], "prompts is"),
        ([[]], r"prompts\[0\] is \[\]"),
        ([257], "257"),
        (
            [{"role": "robot", "content": ""}],
            r"prompts\[0\].role: invalid enum value 'robot'; .* user, ",
        ),
        ([{"role": "user", "contents": ""}], r"prompts\[0\] has a field 'contents'"),
        ("a\ud800", r"prompt: character 1 is '\\ud800', half of a surrogate pair"),
        ([{"role": "\ud800", "content": ""}], r"prompts\[0\] has half of a surrogate pair"),
        ([{"role": "user", "content": "\udfff"}], r"messages\[0\].content: character 0 is"),
        (
            [{"role": "assistant", "content": "a", "reasoning_content": "\udfff"}],
            r"messages\[0\].reasoning_content: character 0 is",
        ),
        ([{"role": "user", "content": "a", "name": "\udfff"}], r"messages\[0\].name: character 0"),
        ([USER, "Hello"], r"prompts\[1\]: expected `object`, got `str`"),
    ],
)
def test_a_prompt_that_is_none_is_refused(llm, prompt, message):
    with pytest.raises(InvalidRequestError, match=message):
        llm.generate(prompt)


def test_chat_takes_no_token_ids(llm):
    with pytest.raises(InvalidRequestError, match="not to `chat`"):
        llm.chat([1, 2])


@pytest.mark.model
def test_the_embedded_model_answers_and_reuses_its_own_completion():
    with LLM() as llm:
        first = llm.chat("What is the capital of France?", temperature=0, max_tokens=24)
        assert "Paris" in first.text
        second = llm.chat(
            [
                {"role": "user", "content": "What is the capital of France?"},
                {"role": "assistant", "content": first.text},
                {"role": "user", "content": "And of Italy?"},
            ],
            temperature=0,
            max_tokens=4,
        )
    assert second.usage.cached_tokens >= first.usage.prompt_tokens


# Resuming


OPEN = {"temperature": 1.0, "seed": 4, "ignore_eos": True}


def test_a_completion_is_resumed_as_if_it_had_not_been_cut(llm):
    whole = llm.generate("A prompt to resume", max_tokens=12, **OPEN)
    first = llm.generate("A prompt to resume", max_tokens=5, **OPEN)
    second = llm.resume(first, max_tokens=7)

    assert first.token_ids + second.token_ids == whole.token_ids
    assert first.text[: len(first.text) - second.replaced] + second.text == whole.text
    assert second.prompt_ids == first.prompt_ids + first.token_ids
    assert second.usage.prompt_tokens == first.usage.prompt_tokens + 5
    assert [token.token_id for token in second.tokens] == list(second.token_ids)


def test_a_resumed_completion_is_streamed(llm):
    first = llm.generate("A prompt to resume", max_tokens=5, **OPEN)
    plain = llm.resume(first, max_tokens=7)
    stream = llm.resume(first.id, max_tokens=7, stream=True)

    assert "".join(delta.text for delta in stream) == plain.text == stream.result().text


def test_a_completion_is_resumed_from_an_event_loop(llm):
    first = llm.generate("A prompt to resume", max_tokens=5, **OPEN)
    plain = llm.resume(first, max_tokens=7)

    async def resumed():
        stream = await llm.aresume(first.id, max_tokens=7, stream=True)
        texts = [delta.text async for delta in stream]
        return await llm.aresume(first, max_tokens=7), "".join(texts), await stream.result()

    whole, text, of_stream = asyncio.run(resumed())

    assert whole.text == text == of_stream.text == plain.text
    assert whole.token_ids == plain.token_ids
    with pytest.raises(UnknownCompletionError):
        asyncio.run(llm.aresume("nothing"))


def test_options_that_made_the_prompt_are_refused_for_a_resumed_completion(llm):
    first = llm.generate("A prompt", max_tokens=2, **OPEN)

    with pytest.raises(InvalidRequestError, match="there is no option 'tools'"):
        llm.resume(first, tools=[])
    with pytest.raises(InvalidRequestError, match="is not the id"):
        llm.resume(first, stop_token_ids=[10**6])


def test_mods_of_a_resumed_completion_are_those_given(llm):
    first = llm.generate("A prompt", max_tokens=2, mods=[Begin], **OPEN)
    assert first.text == "Hi"

    assert llm.resume(first, max_tokens=2, mods=[]).usage.forced_tokens == 0


def test_an_unknown_or_finished_completion_is_not_resumed(llm):
    ended = llm.generate("A prompt", max_tokens=9, logit_bias={256: 100}, temperature=0)
    assert ended.finish_reason == "stop"

    with pytest.raises(InvalidRequestError, match="ended by 'stop'"):
        llm.resume(ended)
    with pytest.raises(UnknownCompletionError):
        llm.resume("none")


def test_a_branch_is_the_whole_completion_and_says_what_it_read(llm):
    parent = llm.generate("A prompt to branch from", max_tokens=8, **OPEN)
    same = llm.branch(parent, 3, token_ids=parent.token_ids[3:4])
    other = llm.branch(parent.id, 3, text="ab", max_tokens=12, seed=9)

    assert same.token_ids == parent.token_ids
    assert (same.text, same.prompt_ids) == (parent.text, parent.prompt_ids)
    assert (same.branch.parent, same.branch.position) == (parent.id, 3)
    assert (same.branch.id, same.branch.read_tokens) == (same.id, 1)
    assert other.token_ids[:3] == parent.token_ids[:3]
    assert other.usage.completion_tokens == len(other.tokens) == 12
    assert [token.forced_by for token in other.tokens[3:6]] == ["@branch", "@branch", None]
    assert parent.branch is None


def test_a_branch_is_streamed_from_its_beginning(llm):
    parent = llm.generate("A prompt to branch from", max_tokens=8, **OPEN)
    stream = llm.branch(parent, 4, stream=True)

    assert "".join(delta.text for delta in stream) == parent.text == stream.result().text


def test_a_branch_that_cannot_be_is_refused(llm):
    parent = llm.generate("A prompt to branch from", max_tokens=4, **OPEN)

    for position, fields, message in (
        (9, {}, "give 0 to 4"),
        (-1, {}, "position"),
        (1, {"token_ids": [10**6]}, "is not the id"),
        (1, {"tools": []}, "LLM.branch: there is no option 'tools'"),
    ):
        with pytest.raises(InvalidRequestError, match=message):
            llm.branch(parent, position, **fields)
    with pytest.raises(UnknownCompletionError, match="branch_from.id"):
        llm.branch("none", 0)


def test_a_handler_of_a_mod_cannot_branch_off_a_completion(llm):
    @mod(registered=False, on=[ForwardPass])
    def branches(event, actions):
        with pytest.raises(EngineError, match="the engine's thread"):
            llm.branch("none", 0)
        return actions.noop()

    assert llm.generate("A prompt", max_tokens=1, mods=[branches], **OPEN)


def test_a_completion_is_a_conversation_to_continue(llm):
    reply = llm.chat([USER], max_tokens=4, **OPEN)
    plain = llm.generate("A prompt", max_tokens=4, **OPEN)

    messages = llm.conversation(reply)["messages"]
    assert messages == [USER, {"role": "assistant", "content": reply.content}]
    assert llm.chat([*messages, USER], max_tokens=1, **OPEN)
    assert llm.conversation(plain.id)["prompt"] == [*plain.prompt_ids, *plain.token_ids]
    with pytest.raises(UnknownCompletionError):
        llm.conversation("none")


def test_chats_that_do_not_fit_are_truncated_if_asked(folder):
    long = [USER, {"role": "assistant", "content": "Hi"}] * 40 + [USER]
    with LLM(folder, options=ModelOptions(context_length=128)) as llm:
        with pytest.raises(ContextLengthError):
            llm.chat(long, max_tokens=2)
        completion = llm.chat(long, max_tokens=2, truncation="auto")
        assert 60 < completion.usage.prompt_tokens <= 126
        assert llm.chat([USER], max_tokens=2, truncation="auto").text
