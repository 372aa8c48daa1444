"""Tokenizes rendered prompts, in which names of control tokens that a request gives are text."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cached_property
from typing import Any

from concordance_shared import InvalidRequestError

from concordance_inference.chat.control_tokens import ControlTokens, Spans
from concordance_inference.chat.given import Given
from concordance_inference.chat.written_control import WrittenControl
from concordance_inference.models.tokenizer import ModelTokenizer


class PromptTexts:
    """Tokenizes the prompts that a chat template renders. Thread-safe."""

    def __init__(
        self,
        tokenizer: ModelTokenizer,
        sources: Mapping[str, str],
        apply: Callable[[Given], str],
        render_s: float,
    ) -> None:
        """Use the template of a tokenizer.

        Args:
            tokenizer: The tokenizer.
            sources: Its templates by name; the usual one is `default`.
            apply: Renders the template.
            render_s: Time limit of rendering, in seconds.
        """
        self._tokenizer = tokenizer
        self._sources = sources
        self._apply = apply
        self._render_s = render_s

    @cached_property
    def control(self) -> ControlTokens:
        """The model's control tokens."""
        return ControlTokens(self._tokenizer, "\n".join(self._sources.values()))

    @cached_property
    def _written(self) -> WrittenControl:
        special: Any = getattr(self._tokenizer.hf, "special_tokens_map", {})
        return WrittenControl(self.control, special, self._apply, self._render_s)

    def prepare(self) -> None:
        """Copy the tokenizer, which names of control tokens in messages need.

        Copying one of 150,000 tokens holds the GIL for about a second. Where no stream runs yet,
        none is paused. A tokenizer that cannot be copied is not an error here: a request with such
        a name gets one.
        """
        with suppress(ValueError):
            _ = self.control.renamed

    def control_tokens(self, given: Given, text: str) -> Spans | None:
        """Where the template wrote control tokens; `None` if the tokenizer finds no others.

        Raises:
            InvalidRequestError: The template changes names of control tokens in messages.
        """
        if not self.control.may_be_in(given.texts()):
            return None
        # A model may have a template for tools.
        name = "tool_use" if given.variables.get("tools") else ""
        source = self._sources.get(name, self._sources.get("default"))
        spans = self._written.find(given, text, source)
        return None if self.control.are_exact(text, spans) else spans

    def encode(self, text: str, control: Spans | None) -> list[int]:
        """Return the token ids of a text.

        Args:
            text: The text.
            control: Where it has control tokens; `None` for wherever the tokenizer finds any.

        Raises:
            InvalidRequestError: The tokenizer cannot read names of control tokens as text.
        """
        if control is None:
            return self._tokenizer.encode_prompt(text)
        return self._renamed(text, control)[0]

    def encode_with_begins(
        self, text: str, control: Spans | None
    ) -> tuple[list[int], list[int]] | None:
        """Return the token ids of a text, and the character offset at which each token starts.

        `None` if the tokenizer reports no offsets, or if its tokens have no bytes of their own.

        Raises:
            InvalidRequestError: The tokenizer cannot read names of control tokens as text.
        """
        if control is None:
            return self._tokenizer.encode_with_begins(text)
        return self._renamed(text, control) if self._tokenizer.has_token_bytes else None

    def _renamed(self, text: str, control: Spans) -> tuple[list[int], list[int]]:
        try:
            return self.control.renamed.encode(text, control)
        except ValueError as exc:
            raise InvalidRequestError(
                "messages: they contain the name of a control token, and this model's tokenizer "
                f"cannot read it as text ({exc}); leave it out, or set allow_control_tokens",
                param="messages",
            ) from exc
