"""Makes the readers that split the completions of a request into the parts of messages."""

from concordance_inference.chat.message_reader import MessageReader, PlainReader, ReaderFactory
from concordance_inference.chat.reasoning_reader import ReasoningPlace, ReasoningReader
from concordance_inference.generation import GenerationRequest
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

    def make() -> MessageReader:
        reader = PlainReader() if request.offer is None else CallReader(request.offer)
        if request.reasoning is None or (request.stream and request.include_retractions):
            return reader
        return ReasoningReader(reader, request.reasoning, reasoning)

    return make
