"""Decodes completions that are kept as tokens."""

from collections.abc import Callable, Sequence

from concordance_sdk.detokenizer import Detokenizer
from concordance_shared import FinishReason
from msgspec.structs import replace

from concordance_inference.branching.written import WrittenCompletion
from concordance_inference.engine.output.stop import StopStrings
from concordance_inference.engine.output.text_stream import TextStream
from concordance_inference.generation import Completed, GenerationRequest
from concordance_inference.resume.ended import EndedCompletion


def written(ended: EndedCompletion, new_decoder: Callable[..., Detokenizer]) -> WrittenCompletion:
    """Return what a completion says.

    Args:
        ended: The completion.
        new_decoder: Makes a detokenizer, as `ModelTraits.new_decoder`.
    """
    token_ids = tuple(ended.token_ids[ended.prompt_len :])
    request = replace(
        ended.request,
        prompt_ids=tuple(ended.token_ids[: ended.prompt_len]),
        beginning=None,
        branch=None,
        stream=False,
        truncate_thinking=None,
        truncate_response=None,
    )
    stream = _decoded(request, token_ids, new_decoder)
    text = stream.text()
    if request.stop and ended.finish_reason is FinishReason.STOP:
        begin = len(_decoded(request, token_ids[:-1], new_decoder).text())
        text = text[: StopStrings(request.stop).find(text, after=begin)]
    completed = Completed(
        text=text,
        marks=tuple(mark for mark in stream.marks() if mark.end <= len(text)),
        token_ids=token_ids,
        finish_reason=ended.finish_reason,
        forced_by=tuple(ended.forced_by),
        tool_calls=ended.tool_calls,
        prompt_tokens=ended.prompt_len,
        completion_tokens=len(token_ids),
    )
    return WrittenCompletion(request=request, completed=completed)


def _decoded(
    request: GenerationRequest,
    token_ids: Sequence[int],
    new_decoder: Callable[..., Detokenizer],
) -> TextStream:
    skipped = frozenset(request.stop_token_ids).difference(request.kept_ids)
    decoder = new_decoder(skipped=skipped, kept=request.kept_ids)
    return TextStream(decoder, StopStrings(()), marked=request.kept_ids, given=token_ids)
