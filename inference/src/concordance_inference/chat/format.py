"""The interface of a chat format, as the server uses it."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from concordance_sdk.hosted_tool import HostedTool
from concordance_shared import Message, ResponseFormat, Tool

from concordance_inference.chat.rendering import USUAL, Rendering
from concordance_inference.generation import Completed, GenerationRequest
from concordance_inference.harmony.vocabulary import HarmonyTokens
from concordance_inference.hosted_tools import HostedTools
from concordance_inference.reasoning import Tags
from concordance_inference.token_rules import TokenRules
from concordance_inference.tools.offer import ToolOffer
from concordance_inference.tools.tool_format import ToolFormat


class ChatFormat(Protocol):
    """Renders conversations as the model was trained on them. Thread-safe."""

    @property
    def options(self) -> frozenset[str]:
        """The variables that a request can set, such as `enable_thinking`."""
        ...

    @property
    def reasoning_tags(self) -> Sequence[Tags]:
        """The tags that the model may write around its reasoning."""
        ...

    @property
    def special_ids(self) -> frozenset[int]:
        """The special tokens, whose names are in the text of a completion only where it asks."""
        ...

    @property
    def marker_ids(self) -> tuple[int, ...]:
        """The special tokens that mark parts of a message; they are kept in its text."""
        ...

    @property
    def can_reason(self) -> bool:
        """True if the model can reason before its content."""
        ...

    @property
    def harmony(self) -> HarmonyTokens | None:
        """The structural tokens of Harmony; `None` for a model that has a chat template."""
        ...

    @property
    def tool_format(self) -> ToolFormat:
        """The format of tool calls."""
        ...

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool] = (),
        options: Mapping[str, Any] | None = None,
        rendering: Rendering = USUAL,
        response_format: ResponseFormat | None = None,
        hosted: Sequence[HostedTool] = (),
    ) -> list[int]:
        """Render the prompt for the next assistant message.

        Args:
            messages: The conversation.
            tools: The tools that the model may call.
            options: Values of variables in `options`.
            rendering: How the prompt ends, and what may be control tokens in it.
            response_format: The format that the model is asked for, if the format of its messages
                has a place for that.
            hosted: The tools that the server runs.

        Raises:
            InvalidRequestError: The format refuses these messages.
            ContextLengthError: They are too long; checked before all of them are tokenized.
        """
        ...

    def encode(self, text: str, *, adds_special: bool = True) -> list[int]:
        """The token ids of a text that is continued as it is, without a chat template.

        Args:
            text: The text.
            adds_special: Prepend the tokens that the tokenizer prepends to a text, usually BOS.

        Raises:
            ContextLengthError: It is much longer than the context.
        """
        ...

    def tokenize(self, text: str, *, adds_special: bool = True) -> list[int]:
        """The token ids of a text of any length.

        Args:
            text: The text.
            adds_special: Prepend the tokens that the tokenizer prepends to a text, usually BOS.
        """
        ...

    def count(self, text: str) -> int:
        """The number of tokens of a text, which is kept: conversations repeat their messages."""
        ...

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of token ids, with the names of special tokens."""
        ...

    def token_names(self, token_ids: Sequence[int]) -> list[str]:
        """The names of tokens in the vocabulary, such as `Ġthe`."""
        ...

    def tokenizer_info(self) -> dict[str, Any]:
        """Return what a client needs to render prompts itself: special tokens, and the template."""
        ...

    def token_bytes(self, token_id: int, *, at_start: bool = False) -> bytes:
        """Return the bytes that a token adds to a text; the name of a special token.

        Args:
            token_id: The token.
            at_start: It is the first token of the text, where some tokenizers drop a space.
        """
        ...

    @property
    def hosted_tools(self) -> HostedTools | None:
        """The tools that the server can run; `None` if the model knows no such tools."""
        ...

    def token_rules(
        self,
        offer: ToolOffer | None,
        *,
        may_reason: bool = True,
        has_format: bool = False,
        hosted: Sequence[HostedTool] = (),
    ) -> TokenRules[Any] | None:
        """Return which tokens may be next in a completion; `None` if all may.

        Args:
            offer: The tools that the model may call.
            may_reason: It may reason before.
            has_format: The content follows a format.
            hosted: The tools that the server runs.
        """
        ...

    def remember(self, request: GenerationRequest, completed: Completed) -> None:
        """Keep the sampled tokens of a completion, for prompts that have it as a message."""
        ...

    def prepare(self) -> None:
        """Do what is slow before the first request."""
        ...
