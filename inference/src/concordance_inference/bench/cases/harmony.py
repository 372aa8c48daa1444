"""gpt-oss: a conversation of 20 turns, and what its messages cost above those of other models."""

import statistics
import time
from collections.abc import Iterator

from concordance_shared import Message, Schemas
from msgspec.structs import replace

from concordance_inference.bench.figures import (
    Figure,
    alternate,
    compared,
    measured,
    unmeasured,
)
from concordance_inference.bench.harmony_conversation import (
    NUM_TURNS,
    TOOLS,
    Generated,
    HarmonyConversation,
    Turn,
    generated,
)
from concordance_inference.bench.harmony_layer import row_times
from concordance_inference.bench.profiling import HotFunction, hottest_of
from concordance_inference.bench.resources import Watch, gpu_percent, wired_bytes
from concordance_inference.bench.scripted_gpt_oss import ScriptedModel
from concordance_inference.chat.request import build_request
from concordance_inference.engine.engine import Engine
from concordance_inference.generation import SamplingParams, TextDelta
from concordance_inference.harmony.encoding import TOKENS
from concordance_inference.harmony.reader import HarmonyReader
from concordance_inference.harmony.turn import HarmonyTurn
from concordance_inference.mark import Mark

_ROUNDS = 5

#: Tokens that a turn may read beyond the new ones.
_SLACK = 16

#: Tokens of a message, and messages, of the completion with which the splitter is timed.
_MESSAGE = 500
_NUM_MESSAGES = 40

#: Tokens of the completion with which the layer is timed.
_LONG = 400

_MB = 1024 * 1024


def figures() -> Iterator[Figure]:
    """Measure the splitter, the whole layer, and the conversation."""
    (splits,) = alternate([splitter_us], rounds=_ROUNDS)
    name = f"splitter, messages of {_MESSAGE} tokens"
    median = statistics.median(splits)
    yield measured(name, "", "us/token", median, target=1.0, at_most=True)
    model = ScriptedModel()
    yield from layer_figures(model, "no tools", Schemas(), rounds=3 * _ROUNDS)
    yield from layer_figures(model, "a tool offered", TOOLS, rounds=3 * _ROUNDS)
    yield from conversation_figures(model)


def hottest_functions() -> list[HotFunction]:
    """Profile two turns of the conversation."""
    model = ScriptedModel()
    conversation = HarmonyConversation(model, model.engine(prefix_bytes=None))
    conversation.turn()
    return hottest_of(lambda: [conversation.turn() for _ in range(2)])


# The splitter


def splitter_us() -> float:
    """Return the microseconds per token in which a completion is split into its messages."""
    deltas = list(_deltas())
    reader = HarmonyReader(HarmonyTurn(tokens=TOKENS), None)
    start = time.process_time()
    for delta in deltas:
        reader.add(delta)
    return 1e6 * (time.process_time() - start) / len(deltas)


def _deltas() -> Iterator[TextDelta]:
    """The text of a completion, a token at a time: `analysis` and `final` in turn."""
    for i in range(_NUM_MESSAGES):
        yield _marked("<|channel|>", TOKENS.channel)
        yield TextDelta(text="final" if i % 2 else "analysis")
        yield _marked("<|message|>", TOKENS.message)
        for _ in range(_MESSAGE):
            yield TextDelta(text=" word")
        yield _marked("<|end|>", TOKENS.end)
        yield _marked("<|start|>", TOKENS.start)
        yield TextDelta(text="assistant")


def _marked(name: str, token_id: int) -> TextDelta:
    return TextDelta(text=name, marks=(Mark(begin=0, end=len(name), token_id=token_id),))


# The whole layer


def layer_figures(
    model: ScriptedModel, what: str, schemas: Schemas, *, rounds: int
) -> Iterator[Figure]:
    """Measure the host's time per token above that of the same completion of a plain model.

    Without a forward pass, whose own time on the host varies by more than the difference.
    """
    words = " and so on" * (_LONG // 6)
    script = (
        f"<|channel|>analysis<|message|>{words}<|end|><|start|>assistant"
        f"<|channel|>final<|message|>{words}<|return|>"
    )
    request = build_request(
        [Message(role="user", content="Hello")],
        model.chat,
        model.info,
        schemas=schemas,
        sampling=SamplingParams(temperature=0.0),
        stream=True,
    )
    plain = replace(
        request, harmony=None, token_rules=None, channels=None, kept_ids=(), offer=None, mods=()
    )
    token_ids = model.tokenizer.encode(script)
    traits = model.traits
    whole_us, plain_us = alternate(
        [
            lambda: row_times(request, traits, token_ids).whole,
            lambda: row_times(plain, traits, token_ids).whole,
        ],
        rounds=rounds,
    )
    above = [one - other for one, other in zip(whole_us, plain_us, strict=True)]
    name = f"host time of a token, {what}"
    yield compared(f"{name}, against plain text", model.name, "us", whole_us, plain_us)
    median = statistics.median(above)
    yield measured(f"{name}, above", model.name, "us", median, target=5.0, at_most=True)


# The conversation


def conversation_figures(
    model: ScriptedModel,
    *,
    num_turns: int = NUM_TURNS,
    num_words: int = 30,
    rounds: int = _ROUNDS,
) -> Iterator[Figure]:
    """Measure each turn, the resources of all, and the last completion against a fresh run."""
    engine = model.engine(prefix_bytes=None)
    conversation = HarmonyConversation(model, engine, num_words=num_words)
    watch = Watch()
    turns = [conversation.turn() for _ in range(num_turns)]
    usage = watch.usage()
    for i, turn in enumerate(turns):
        yield from _turn_figures(model.name, i + 1, turn)
    answer, name = turns[-1].answer, f"{num_turns} turns"
    yield measured(f"{name}: processors", model.name, "%", usage.cpu_percent)
    yield measured(f"{name}: peak memory", model.name, "MB", usage.peak_bytes / _MB)
    yield measured(f"{name}: resident memory", model.name, "MB", usage.resident_bytes / _MB)
    yield _gpu_figure(name, model, engine, answer)
    yield _wired_figure(name, model)
    fresh = model.engine()
    fresh_rates, rates = alternate(
        [
            lambda: generated(fresh, answer.request).rate,
            lambda: generated(engine, answer.request).rate,
        ],
        rounds=rounds,
    )
    context = answer.completed.prompt_tokens
    yield compared(
        f"turn {num_turns}: decode at a context of {context}, against a fresh run",
        model.name,
        "tokens/s",
        rates,
        fresh_rates,
        target=0.9,
    )


def _turn_figures(model: str, number: int, turn: Turn) -> Iterator[Figure]:
    yield Figure(
        name=f"turn {number}: tokens read, against new ones",
        model=model,
        value=turn.num_read,
        unit="tokens",
        baseline=turn.num_new,
        ratio=(turn.num_read - _SLACK) / turn.num_new,
        target=1.02,
        at_most=True,
    )
    yield measured(f"turn {number}: prefill", model, "ms", 1e3 * turn.prefill_s)
    yield measured(f"turn {number}: time to the first text", model, "ms", 1e3 * turn.call.first_s)
    yield measured(f"turn {number}: decode", model, "tokens/s", turn.rate)


def _gpu_figure(name: str, model: ScriptedModel, engine: Engine, answer: Generated) -> Figure:
    """Measure the use of the GPU once, while the last answer is generated again."""
    engine.submit(answer.request, lambda _: None)
    busy = None
    while engine.has_work:
        engine.step()
        busy = gpu_percent() if busy is None else busy
    name = f"{name}: graphics processor"
    if busy is None:
        return unmeasured(name, model.name, "%", "no GPU, or no tool that reports its use")
    return measured(name, model.name, "%", busy)


def _wired_figure(name: str, model: ScriptedModel) -> Figure:
    wired, name = wired_bytes(), f"{name}: wired memory of the system"
    if wired is None:
        return unmeasured(name, model.name, "MB", "only macOS reports it")
    return measured(name, model.name, "MB", wired / _MB)
