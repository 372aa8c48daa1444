"""Finds the control tokens of a prompt that the chat template wrote, not the request."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from concordance_shared import InvalidRequestError

from concordance_inference.chat.control_tokens import ControlTokens, Spans
from concordance_inference.chat.given import Given
from concordance_inference.chat.written_template import render_written
from concordance_inference.chat.written_text import WrittenText, written
from concordance_inference.models.renamed_tokenizer import secret_text
from concordance_inference.time_limit import TimeLimitError, run_within

#: What a template cannot tell from text of the same length.
_TEXT = re.compile(r"\S")


class WrittenControl:
    """Finds control tokens that the template of a model wrote. Thread-safe."""

    def __init__(
        self,
        tokens: ControlTokens,
        special: Mapping[str, Any],
        apply: Callable[[Given], str],
        render_s: float,
    ) -> None:
        """Use a template.

        Args:
            tokens: The model's control tokens.
            special: The variables that the tokenizer gives the template, such as `bos_token`.
            apply: Renders the template.
            render_s: Time limit of rendering.
        """
        self._tokens = tokens
        self._special = {name: written(value) for name, value in special.items()}
        self._apply = apply
        self._render_s = render_s

    def find(self, given: Given, text: str, source: str | None) -> Spans:
        """Where the template wrote control tokens.

        Args:
            given: What the request gives.
            text: The rendered text.
            source: The template; `None` if it is a program in Python.

        Raises:
            InvalidRequestError: The template changes the names of control tokens in messages, in
                a way that cannot be followed.
        """
        followed = self._followed(given, source) if source else None
        if followed == text and isinstance(followed, WrittenText):
            spans = self._tokens.written_in(followed)
            if len(spans) == len(self._tokens.in_text(text)) or self._is_reliable(given, source):
                return spans
        return self._found_by_substitution(given, text)

    def _followed(self, given: Given, source: str | None) -> str | None:
        """The rendered text that knows what the template wrote; `None` if it fails."""
        messages = [_with_known(message) for message in given.rendered_messages]
        variables = {**self._special, "documents": None, **given.variables, "messages": messages}
        try:
            rendered = run_within(self._render_s, lambda: render_written(source or "", variables))
            return given.cut(rendered)
        except (TimeLimitError, Exception):  # as any program, it may raise anything
            return None

    def _is_reliable(self, given: Given, source: str | None) -> bool:
        """False if the template writes control tokens in a way that is not followed.

        Then they count as the request's, even where all of its texts are harmless. A name of which
        the template wrote a part, as in `'<' + name + '>'`, is followed.
        """
        ends = re.compile(f"[{re.escape(self._tokens.ends)}]")

        def harmless(text: str) -> str:
            return _TEXT.sub("x", text)

        def harmless_key(text: str) -> str:  # other keys are those that templates look for
            return harmless(text) if ends.search(text) else text

        followed = self._followed(given.mapped(harmless, harmless_key), source)
        if followed is None:  # it expects other texts
            return True
        return not self._tokens.has_unwritten(followed)

    def _found_by_substitution(self, given: Given, text: str) -> Spans:
        """Render with private-use characters in the place of those that names begin and end with.

        What the template then writes with such characters is its own.
        """
        ends = self._tokens.ends
        secret = secret_text(len(ends))
        hide, show = str.maketrans(ends, secret), str.maketrans(secret, ends)

        def hidden(part: str) -> str:
            return part.translate(hide)

        try:
            changed = self._apply(given.mapped(hidden, hidden))
        except InvalidRequestError:
            changed = ""
        if changed.translate(show) != text or any(map(str.isalnum, ends)):
            raise _cannot_be_followed()
        return self._tokens.in_text(changed)


def _with_known(message: dict[str, Any]) -> dict[str, Any]:
    """A message whose role, which is one of six, counts as written by the template."""
    known = {**message, "role": written(message["role"])}
    if "reasoning_content" in message:  # as transformers
        known.setdefault("thinking", message["reasoning_content"])
    return known


def _cannot_be_followed() -> InvalidRequestError:
    return InvalidRequestError(
        "messages: they contain the name of a control token, and this model's chat template "
        "changes them in a way that hides where; leave such names out, or set "
        "allow_control_tokens to have all of them read as control tokens",
        param="messages",
    )
