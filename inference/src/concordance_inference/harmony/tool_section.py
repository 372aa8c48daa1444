"""The section of the developer message that describes the tools, as TypeScript.

The openai-harmony library writes it. Long texts are put in afterwards: the library tokenizes what
it renders, holding the GIL, in time that grows with the square of a run without spaces.
"""

import functools
import json
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import msgspec
from concordance_shared import InvalidRequestError, Tool

from concordance_inference.harmony.encoding import harmony_encoding
from concordance_inference.harmony.tool_schema import mapped_texts, normalized
from concordance_inference.models.renamed_tokenizer import secret_text
from concordance_inference.models.tokenizer import ModelTokenizer

#: Longer texts are put in afterwards.
_LONG = 200

_BEGIN, _END = "<|start|>developer<|message|>", "<|end|>"


class ToolSections:
    """Writes the descriptions of tools. Thread-safe."""

    def __init__(self, tokenizer: ModelTokenizer) -> None:
        """Use the vocabulary of a model, which is that of gpt-oss."""
        self._tokenizer = tokenizer

    def of(self, tools: Sequence[Tool]) -> str:
        """Return the section of some tools; empty without tools."""
        return self._section(msgspec.json.encode(tools)) if tools else ""

    def prepare(self) -> None:
        """Load the library, which takes about a second."""
        with suppress(InvalidRequestError):
            _ = self._encoding

    @functools.lru_cache(maxsize=64)  # noqa: B019  # as long as the model
    def _section(self, tools: bytes) -> str:
        import openai_harmony as library  # noqa: PLC0415  # slow to import

        long = _LongTexts()
        described = [
            _description(tool, long) for tool in msgspec.json.decode(tools, type=list[Tool])
        ]
        content = library.DeveloperContent.new().with_function_tools(
            [library.ToolDescription.new(*parts) for parts in described]
        )
        message = library.Message.from_role_and_content(library.Role.DEVELOPER, content)
        text: str = self._encoding.decode(self._encoding.render(message))
        return long.put_into(text.removeprefix(_BEGIN).removesuffix(_END))

    @functools.cached_property
    def _encoding(self) -> Any:
        found = harmony_encoding(self._tokenizer.hf.get_vocab())
        if found is None:
            raise InvalidRequestError(
                "tools: the vocabulary of this model differs from that of gpt-oss in some tokens, "
                "so its tools cannot be described; leave tools out, or set tool_choice to none",
                param="tools",
            )
        return found


def _description(tool: Tool, long: "_LongTexts") -> tuple[str, str, dict[str, Any] | None]:
    """The name, the description and the parameters of a tool, as the library takes them."""
    function = tool.function
    about = function.description or ""
    if long.is_one(about):  # the library writes the lines of others as comments
        about = long.taken("description", about.replace("\n", "\n// "))
    parameters = function.parameters
    if not parameters:  # none at all, or any
        return function.name, about, parameters
    return function.name, about, mapped_texts(normalized(parameters), long.taken)


class _LongTexts:
    """Long texts, which placeholders replace."""

    def __init__(self) -> None:
        self._secret = secret_text(8)
        self._texts: dict[str, int] = {}

    def is_one(self, text: str) -> bool:
        """True if a text is long."""
        return len(text) > _LONG

    def taken(self, key: str, text: str) -> str:
        """A placeholder for a long text; the text itself if it is short.

        Args:
            key: The keyword whose value has it. The library writes some values as JSON.
            text: The text.
        """
        if not self.is_one(text):
            return text
        is_json = key in ("default", "examples")
        shown = json.dumps(text, ensure_ascii=False)[1:-1] if is_json else text
        number = self._texts.setdefault(shown, len(self._texts))
        return f"{self._secret}{number}{self._secret}"

    def put_into(self, text: str) -> str:
        """The text with the long texts in their places."""
        found = re.compile(f"{re.escape(self._secret)}([0-9]+){re.escape(self._secret)}")
        texts = [*self._texts]
        return found.sub(lambda match: texts[int(match[1])], text)
