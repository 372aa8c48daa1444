"""The section about hosted tools in the system message.

The openai-harmony library has the texts about `python` and `browser` that gpt-oss was trained with.
"""

import functools
from collections.abc import Sequence
from typing import Any

from concordance_sdk.hosted_tool import HostedTool

from concordance_inference.harmony.encoding import harmony_encoding
from concordance_inference.hosted_tools import TRAINED
from concordance_inference.models.tokenizer import ModelTokenizer

_TITLE, _FOLLOWING = "# Tools\n\n", "\n\n# Valid channels"


class HostedSections:
    """Writes the descriptions of hosted tools. Thread-safe."""

    def __init__(self, tokenizer: ModelTokenizer) -> None:
        """Use the vocabulary of a model, which is that of gpt-oss."""
        self._tokenizer = tokenizer

    def of(self, tools: Sequence[HostedTool]) -> str:
        """Return the section of some tools; empty without tools."""
        sections = [self._about(tool) for tool in sorted(tools, key=lambda tool: tool.name)]
        return _TITLE + "\n\n".join(sections) if sections else ""

    def _about(self, tool: HostedTool) -> str:
        if tool.instructions is None:
            return self._trained[tool.name]
        return f"## {tool.name}\n\n{tool.instructions}"

    @functools.cached_property
    def _trained(self) -> dict[str, str]:
        """The sections about the tools that the library knows."""
        import openai_harmony as library  # noqa: PLC0415  # slow to import

        encoding: Any = harmony_encoding(self._tokenizer.hf.get_vocab())
        kinds = library.ToolNamespaceConfig
        configs = {"python": kinds.python, "browser": kinds.browser}
        sections: dict[str, str] = {}
        for name in TRAINED:
            content = library.SystemContent.new().with_tools(configs[name]())
            message = library.Message.from_role_and_content(library.Role.SYSTEM, content)
            text: str = encoding.decode(encoding.render(message))
            sections[name] = text.partition(_TITLE)[2].partition(_FOLLOWING)[0]
        return sections
