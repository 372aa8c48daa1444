"""Refuses texts that are far too long for a model, before all of them are tokenized."""

from functools import cached_property

from concordance_shared import ContextLengthError
from concordance_shared.prompt_length import prompt_too_long

from concordance_inference.models.tokenizer import ModelTokenizer

#: A text with fewer characters than this per token of the context is tokenized as one text.
_FEW_CHARS_PER_TOKEN = 8

#: A longer text is first tokenized in pieces of this many characters, until it is too long.
_PIECE = 32 * 1024

#: Pieces are cut within words, so they may have more tokens than the whole text: allow for that.
_MARGIN = 1.25


class LengthLimit:
    """The context of a model, as the limit of a text."""

    def __init__(self, tokenizer: ModelTokenizer, context_length: int | None) -> None:
        """Limit texts to a context; `None` for no limit."""
        self._tokenizer = tokenizer
        self._context_length = context_length

    @cached_property
    def _longest_token(self) -> int:
        """The length of the vocabulary's longest token, in characters."""
        return max(map(len, self._tokenizer.hf.get_vocab()), default=1)

    def check(self, num_chars: int, param: str = "messages") -> None:
        """Refuse a text that is too long even if all of its tokens are the longest one."""
        if self._context_length is None:
            return
        if num_chars > _FEW_CHARS_PER_TOKEN * self._context_length and (
            num_chars > self._longest_token * self._context_length
        ):
            raise _too_long(f"{num_chars} characters", self._context_length, param)

    def check_tokens(self, text: str, param: str = "messages") -> None:
        """Refuse a text with far too many tokens, without tokenizing all of it."""
        self.check(len(text), param)
        most = self._context_length
        if most is None or len(text) <= _FEW_CHARS_PER_TOKEN * most:
            return
        num_tokens = 0
        for begin in range(0, len(text), _PIECE):
            num_tokens += len(self._tokenizer.encode_prompt(text[begin : begin + _PIECE]))
            if num_tokens > _MARGIN * most:
                raise _too_long(f"more than {most} tokens", most, param)

    def check_count(self, num_tokens: int, param: str = "messages") -> None:
        """Refuse the beginning of a prompt that has more tokens than fit."""
        if self._context_length is not None and num_tokens > self._context_length:
            size = f"more than {self._context_length} tokens"
            raise _too_long(size, self._context_length, param)


def _too_long(size: str, context_length: int, param: str) -> ContextLengthError:
    remedy = "shorten them" if param == "messages" else "shorten it"
    return prompt_too_long(size, context_length, param=param, remedy=remedy)
