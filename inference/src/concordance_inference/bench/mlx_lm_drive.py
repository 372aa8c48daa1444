"""Runs the same work on mlx-lm in this thread, and times it."""

import time
from collections.abc import Sequence

import mlx.core as mx
from mlx_lm.generate import BatchGenerator, generate_step, stream_generate
from mlx_lm.models.cache import make_prompt_cache, trim_prompt_cache

from concordance_inference.bench.drive import Subject


def decode_rate(subject: Subject, prompt_ids: list[int], max_tokens: int) -> float:
    """Measure `stream_generate` in tokens per second, from its first token to its last."""
    start, count = 0.0, 0
    for _ in stream_generate(subject.model, subject.tokenizer, prompt_ids, max_tokens=max_tokens):
        start = start or time.perf_counter()
        count += 1
    return (count - 1) / (time.perf_counter() - start)


def batch_rate(subject: Subject, prompts: Sequence[list[int]], max_tokens: int) -> float:
    """Measure `BatchGenerator` in tokens per second, from when all rows decode."""
    rows = len(prompts)
    generator = BatchGenerator(
        subject.model,
        max_tokens=max_tokens,
        completion_batch_size=rows,
        prefill_batch_size=rows,
    )
    generator.insert(list(prompts))
    start, count = 0.0, 0
    while responses := generator.next_generated():
        if start:
            count += len(responses)
        elif len(responses) == rows:
            start = time.perf_counter()
    return count / (time.perf_counter() - start)


def prefill_seconds(subject: Subject, prompt_ids: list[int]) -> float:
    """Measure the seconds to the first token."""
    start = time.perf_counter()
    for _ in stream_generate(subject.model, subject.tokenizer, prompt_ids, max_tokens=1):
        pass
    return time.perf_counter() - start


class LongContext:
    """Decodes after a long prompt that is prefilled once."""

    def __init__(self, subject: Subject, prompt_ids: list[int]) -> None:
        """Prefill the prompt except for its last token."""
        self._model = subject.model
        self._last = mx.array(prompt_ids[-1:])
        self._cache = make_prompt_cache(self._model)
        for start in range(0, len(prompt_ids) - 1, 512):
            chunk = prompt_ids[start : min(start + 512, len(prompt_ids) - 1)]
            self._model(mx.array([chunk]), cache=self._cache)
            mx.eval([cache.state for cache in self._cache])

    def decode_rate(self, max_tokens: int) -> float:
        """Measure `generate_step` in tokens per second, then rewind the cache to the prompt."""
        before = self._cache[0].offset
        start, count = 0.0, 0
        steps = generate_step(
            self._last, self._model, max_tokens=max_tokens, prompt_cache=self._cache
        )
        for _ in steps:
            start = start or time.perf_counter()
            count += 1
        seconds = time.perf_counter() - start
        trim_prompt_cache(self._cache, self._cache[0].offset - before)
        return (count - 1) / seconds
