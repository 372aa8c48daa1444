"""The names of the field that has a message's reasoning: servers and clients differ."""

from typing import Literal

#: `reasoning`, as vLLM, Ollama and OpenRouter name it; `reasoning_content`, as DeepSeek, SGLang
#: and llama.cpp do; or both.
ReasoningField = Literal["both", "reasoning", "reasoning_content"]


def field_names(field: ReasoningField) -> tuple[str, ...]:
    """The names of the fields of a message that have its reasoning."""
    return ("reasoning", "reasoning_content") if field == "both" else (field,)
