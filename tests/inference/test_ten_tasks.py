"""The examples of the ten tasks give the same text alone, in a stream, and in a batch."""

import asyncio
from functools import partial
from pathlib import Path

import pytest
from concordance_inference import LLM
from concordance_inference.mods.loading import load_path
from tiny_folder import write_tiny_folder

FOLDER = Path(__file__).parents[2] / "examples" / "ten_tasks"
MODS = {d.name: d.target for d in load_path(FOLDER)[0]}
NAMES = sorted(MODS)
FIRST = {"role": "user", "content": "What is the capital of France?"}
SECOND = [FIRST, {"role": "assistant", "content": "Paris."}, {"role": "user", "content": "Why?"}]

#: What the engine runs: each mod is in one of the batches of eight, or in both.
BATCHES = (NAMES[:8], NAMES[2:])


def _tiny(tmp_path_factory):
    return LLM(write_tiny_folder(tmp_path_factory.mktemp("model") / "tiny"))


def _embedded(tmp_path_factory):
    return LLM()


#: How to load each model, and how it samples: completions that vary, or end soon.
MODELS = [
    pytest.param((_tiny, {"temperature": 1.0, "max_tokens": 60}), id="tiny"),
    pytest.param(
        (_embedded, {"temperature": 0.0, "max_tokens": 20}), id="embedded", marks=pytest.mark.model
    ),
]


def outcome(completion):
    """What must be equal. Not the numbers of reports: their rounding depends on the batch."""
    calls = [(call.function.name, call.function.arguments) for call in completion.tool_calls]
    return completion.text, completion.finish_reason, completion.token_ids, calls


class Engine:
    """A model, which runs each mod with its own seed."""

    def __init__(self, llm, options):
        self.llm = llm
        self.options = options
        self.batches = [dict(zip(names, self.together(names), strict=True)) for names in BATCHES]

    def chat(self, run, name):
        messages = SECOND if name == "second_turn" else [FIRST]
        return run(messages, mods=[MODS[name]], seed=NAMES.index(name), **self.options)

    def together(self, names):
        async def gather():
            return await asyncio.gather(*(self.chat(self.llm.achat, name) for name in names))

        return asyncio.run(gather())


@pytest.fixture(name="engine", scope="module", params=MODELS)
def _engine(request, tmp_path_factory):
    load, options = request.param
    with load(tmp_path_factory) as llm:
        yield Engine(llm, options)


def test_batches_have_eight_mods_each():
    assert {len(names) for names in BATCHES} == {8}
    assert {*BATCHES[0], *BATCHES[1]} == {*NAMES}
    assert len(NAMES) == 10


@pytest.mark.parametrize("name", NAMES)
def test_mod_of_a_task_gives_the_same_text_alone_in_a_stream_and_in_a_batch_of_eight(engine, name):
    alone = engine.chat(engine.llm.chat, name)
    stream = engine.chat(partial(engine.llm.chat, stream=True), name)
    shown = "".join(delta.text for delta in stream)
    batched = [batch[name] for batch in engine.batches if name in batch]

    assert outcome(stream.result()) == outcome(alone)
    assert shown == alone.text
    assert [outcome(each) for each in batched] == [outcome(alone)] * len(batched)
    assert [report.mod for report in alone.reports] == [r.mod for r in stream.reports]
