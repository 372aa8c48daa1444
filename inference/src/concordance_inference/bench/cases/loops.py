"""Loops of greedy completions: the share that is found, and the share that rewinding leaves."""

import time
from collections.abc import Iterator, Sequence

from concordance_inference.bench import drive
from concordance_inference.bench.drive import Subject, request
from concordance_inference.bench.figures import Effort, Figure, measured
from concordance_inference.engine.engine import Engine
from concordance_inference.engine.loops.detector import LoopDetector
from concordance_inference.engine.loops.guard import detector_of
from concordance_inference.generation import Completed
from concordance_inference.loop_detection import LoopDetection, ends_in_loop

#: Texts that small models continue with the same words again and again.
_PROMPTS = (
    "The most important thing about the sea is that",
    "A list of animals:\n1. Cat\n2. Dog\n3.",
    "Q: Why is the sky blue?\nA: The sky is blue because",
    "Dear diary, today I",
    "def add(a, b):\n    return a + b\n\ndef",
    "Once upon a time there was a king who",
    "The first rule is to be kind. The second rule is",
    "| name | age |\n|---|---|\n| Ann | 31 |\n|",
    "In conclusion, I think that we should",
    "She said yes. He said no. She said",
    "The stars are far away. They are",
    "Let me think about this step by step. First,",
    "Roses are red, violets are blue,",
    "0, 1, 1, 2, 3, 5, 8,",
    "How to cook rice:\n- Wash the rice.\n-",
    "The report of the committee on the report of",
)

#: Limit of a completion, in tokens.
_MAX_TOKENS = 400

#: Tokens of which the search is timed.
_NUM_TIMED = 20_000

CHEAP = LoopDetection(mode="cheap")
FULL = LoopDetection(mode="full")
REWIND = LoopDetection(mode="full", action="rewind")


def figures(subject: Subject, effort: Effort) -> Iterator[Figure]:
    """Count loops, and compare the speed with and without their detection."""
    max_tokens = min(_MAX_TOKENS, 8 * effort.decode_tokens)
    engine = subject.engine(max_rows=8)
    found = _looping(_completed(engine, subject, _PROMPTS, FULL, max_tokens))
    name, total = subject.name, len(_PROMPTS)
    what = f"greedy completions of {total} prompts, up to {max_tokens} tokens:"
    yield measured(f"{what} loop", name, "%", 100 * len(found) / total)
    looping = [_PROMPTS[i] for i in found]
    cheap = _looping(_completed(engine, subject, looping, CHEAP, max_tokens))
    yield measured(f"{what} of those, found in mode cheap", name, "%", _percent(cheap, looping))
    ends = _completed(engine, subject, looping, REWIND, max_tokens)
    left = len(looping) - len(_looping(ends))
    yield measured(
        f"{what} of those, rewinding leaves the loop", name, "%", _percent(range(left), looping)
    )
    tries = sum(max((loop.tries for loop in end.loops), default=0) for end in ends)
    yield measured(f"{what} rewinds of each", name, "", tries / max(1, len(looping)))
    yield from _costs(name)


def _percent(some: Sequence[object], of: Sequence[object]) -> float:
    return 100 * len(some) / max(1, len(of))


def _completed(
    engine: Engine,
    subject: Subject,
    prompts: Sequence[str],
    detection: LoopDetection,
    max_tokens: int,
) -> list[Completed]:
    """Complete the prompts, up to the tokens that end a completion of the model."""
    tokenizer = subject.traits.tokenizer
    ends = tuple(sorted(tokenizer.eos_token_ids))
    requests = [
        request(tokenizer.encode(text), max_tokens, stop_token_ids=ends, loop_detection=detection)
        for text in prompts
    ]
    return drive.run(engine, *requests)


def _looping(ends: Sequence[Completed]) -> list[int]:
    """The indices of the completions that a loop ended."""
    return [i for i, end in enumerate(ends) if ends_in_loop(end.loops)]


def _costs(name: str) -> Iterator[Figure]:
    """Measure the processor's time for a token, as often as it may be one of the last 64."""
    texts = {"text": [i * i % 97 for i in range(_NUM_TIMED)], "a loop": [7] * _NUM_TIMED}
    for detection in (CHEAP, FULL):
        times = {what: _microseconds(detector_of(detection), ids) for what, ids in texts.items()}
        for what, microseconds in times.items():
            figure = f"loop detection of a token of {what}: {detection.mode}"
            yield measured(figure, name, "us", microseconds)


def _microseconds(detector: LoopDetector, token_ids: Sequence[int]) -> float:
    start = time.process_time()
    for token_id in token_ids:
        detector.add(token_id)
        _ = detector.found
    return 1e6 * (time.process_time() - start) / len(token_ids)
