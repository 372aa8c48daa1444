"""The engine, the server and the command line of Concordance, and `LLM`, its Python API.

The API is imported on first use:

    from concordance_inference import LLM

    with LLM() as llm:
        print(llm.chat("What is the capital of France?").text)
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from concordance_inference.completion import Completion
    from concordance_inference.completion_stream import AsyncCompletionStream, CompletionStream
    from concordance_inference.llm import LLM

__all__ = ["LLM", "AsyncCompletionStream", "Completion", "CompletionStream"]


def __getattr__(name: str) -> object:
    """Import the Python API on first use: the command line starts without it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from concordance_inference import llm  # noqa: PLC0415  # on first use

    return getattr(llm, name)
