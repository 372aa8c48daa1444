"""Makes the readers that split the completions of a request into the parts of messages."""

from concordance_inference.chat.message_reader import MessageReader, PlainReader, ReaderFactory
from concordance_inference.chat.placed_reasoning import ReasoningPlace
from concordance_inference.chat.reasoning_reader import ReasoningReader
from concordance_inference.chat.resumed_reader import ResumedReader
from concordance_inference.chat.truncated_reader import TruncatedReader
from concordance_inference.generation import GenerationRequest
from concordance_inference.harmony.reader import HarmonyReader
from concordance_inference.tools.call_reader import CallReader


def reader_factory(
    request: GenerationRequest,
    *,
    reasoning: ReasoningPlace = "apart",
    shows_cut_call: bool = True,
) -> ReaderFactory:
    """Return a factory of readers for the completions of a request.

    A stream with retractions is not split: its clients remove characters of one text.

    Args:
        request: The request.
        reasoning: Where the reasoning is sent.
        shows_cut_call: A response that is not streamed has the text of a call that was cut as
            content.
    """
    retracts = request.stream and request.include_retractions

    def make_whole() -> MessageReader:
        if request.harmony is not None and not retracts:
            return HarmonyReader(request.harmony, request.offer, reasoning)
        reader = PlainReader() if request.offer is None else CallReader(request.offer)
        if request.reasoning is None or retracts:
            return reader
        return ReasoningReader(reader, request.reasoning, reasoning)

    def make() -> MessageReader:
        beginning, reader = request.beginning, None
        if beginning is not None:
            reader = ResumedReader(
                make_whole,
                beginning,
                had_cut_call=shows_cut_call and not beginning.was_streamed,
                has_cut_call=shows_cut_call and not request.stream,
            )
        if request.truncate_thinking is None and request.truncate_response is None:
            return reader or make_whole()
        return TruncatedReader(
            reader or make_whole(),
            reasoning=request.truncate_thinking,
            content=request.truncate_response,
        )

    return make
