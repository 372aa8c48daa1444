"""Makes the readers that split the completions of a request into the parts of messages."""

from concordance_inference.chat.message_reader import MessageReader, PlainReader, ReaderFactory
from concordance_inference.chat.placed_reasoning import ReasoningPlace
from concordance_inference.chat.reasoning_reader import ReasoningReader
from concordance_inference.generation import GenerationRequest
from concordance_inference.harmony.reader import HarmonyReader
from concordance_inference.tools.call_reader import CallReader


def reader_factory(
    request: GenerationRequest, *, reasoning: ReasoningPlace = "apart"
) -> ReaderFactory:
    """Return a factory of readers for the completions of a request.

    A stream with retractions is not split: its clients remove characters of one text.

    Args:
        request: The request.
        reasoning: Where the reasoning is sent.
    """
    retracts = request.stream and request.include_retractions

    def make() -> MessageReader:
        if request.harmony is not None and not retracts:
            return HarmonyReader(request.harmony, request.offer, reasoning)
        reader = PlainReader() if request.offer is None else CallReader(request.offer)
        if request.reasoning is None or retracts:
            return reader
        return ReasoningReader(reader, request.reasoning, reasoning)

    return make
