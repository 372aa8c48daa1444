"""The section of the developer message that describes the tools, as TypeScript."""

import functools
from collections.abc import Sequence
from typing import Any

import msgspec
from concordance_shared import Tool

from concordance_inference.harmony.encoding import harmony_encoding
from concordance_inference.models.tokenizer import ModelTokenizer


class ToolSections:
    """Writes the descriptions of tools with the openai-harmony library. Thread-safe."""

    def __init__(self, tokenizer: ModelTokenizer) -> None:
        """Use the vocabulary of a model, which is that of gpt-oss."""
        self._tokenizer = tokenizer

    def of(self, tools: Sequence[Tool]) -> str:
        """Return the section of some tools; empty without tools."""
        return self._section(msgspec.json.encode(tools)) if tools else ""

    @functools.lru_cache(maxsize=64)  # noqa: B019  # as long as the model
    def _section(self, tools: bytes) -> str:
        import openai_harmony as library  # noqa: PLC0415  # slow to import

        described = [
            library.ToolDescription.new(
                tool.function.name, tool.function.description or "", tool.function.parameters
            )
            for tool in msgspec.json.decode(tools, type=list[Tool])
        ]
        content = library.DeveloperContent.new().with_function_tools(described)
        message = library.Message.from_role_and_content(library.Role.DEVELOPER, content)
        encoding = self._encoding
        text: str = encoding.decode(encoding.render(message))
        return text.removeprefix("<|start|>developer<|message|>").removesuffix("<|end|>")

    @functools.cached_property
    def _encoding(self) -> Any:
        return harmony_encoding(self._tokenizer.hf.get_vocab())
