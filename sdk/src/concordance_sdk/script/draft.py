"""The completion as a script sees it: with the edit that the script makes at the current event."""

from collections.abc import Sequence

from concordance_shared import Added, ForwardPass, Prefilled

from concordance_sdk.action_builder import end_token_id
from concordance_sdk.host.request_state import until_end
from concordance_sdk.self_prompt.edit import Edit
from concordance_sdk.text.completion_text import CompletionText
from concordance_sdk.tokenizer import Tokenizer

_NO_EDIT = Edit()


class Draft:
    """The completion after the pending edit.

    Several steps of a script may write at one event. Each continues from the draft of the one
    before it, and together they are one action.

        completion              I t   i s   5 <eos>
        rewind to 0             edit: remove 8
        force "Hm. "            edit: remove 8, append "Hm. "       draft: H m .

    Attributes:
        token_ids: The token ids of the draft.
        edit: The pending edit; empty before the first step writes.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        """Start with an empty completion."""
        self.tokenizer = tokenizer
        self.token_ids: list[int] = []
        self.edit = _NO_EDIT
        self.max_tokens: int | None = None
        self._request_id = ""
        self._text = CompletionText()
        self._num_read = 0  # leading tokens that `_text` has
        self._removed: list[int] = []  # by the pending edit

    def __len__(self) -> int:
        return len(self.token_ids)

    @property
    def text(self) -> CompletionText:
        """The text of the draft."""
        num_read, self._num_read = self._num_read, len(self.token_ids)
        if num_read < len(self.token_ids) or num_read < len(self._text.token_ids):
            tail = tuple(self.token_ids[num_read:])
            event = Added(
                request_id=self._request_id, step=num_read, added_tokens=tail, forced=True
            )
            self._text.follow(event, self.tokenizer)
        return self._text

    @property
    def has_ended(self) -> bool:
        """True if the last token ends the sequence."""
        return bool(self.token_ids) and self.token_ids[-1] in self.tokenizer.eos_token_ids

    @property
    def num_text_tokens(self) -> int:
        """The number of tokens without an end-of-sequence token."""
        return len(self.token_ids) - self.has_ended

    @property
    def end_ids(self) -> list[int]:
        """The end-of-sequence token at the end, as a list; empty if there is none."""
        return self.token_ids[-1:] if self.has_ended else []

    @property
    def room(self) -> int | None:
        """Tokens that can follow the text, in place of an end; `None` if the budget is unknown."""
        return None if self.max_tokens is None else max(0, self.max_tokens - self.num_text_tokens)

    @property
    def is_full(self) -> bool:
        """True if the token budget is spent."""
        return self.max_tokens is not None and len(self.token_ids) >= self.max_tokens

    def begin(self, event: Prefilled) -> None:
        """Start with the prompt."""
        self.max_tokens, self._request_id = event.max_steps, event.request_id
        self._text.follow(event, self.tokenizer)

    def follow(self, event: ForwardPass | Added) -> int | None:
        """Take over the completion at an event, which makes the pending edit obsolete.

        Returns:
            The length to which another mod cut the draft, if one did.
        """
        self._clear_edit()
        added = event.added_tokens if isinstance(event, Added) else ()
        if event.step == len(self.token_ids):
            self.token_ids += added
            return None
        same = _num_common(self.token_ids, event.step, added)
        cut = same if same < len(self.token_ids) else None
        self._num_read = min(self._num_read, same)
        self.token_ids[same:] = added[same - event.step :]
        return cut

    def append(self, token_ids: Sequence[int]) -> Sequence[int]:
        """Append tokens, which replace an end-of-sequence token.

        Tokens after the first one that ends the sequence, or beyond the budget, are dropped.

        Returns:
            The tokens that were appended.
        """
        if not token_ids:
            return ()
        self.drop_end()
        room = None if self.max_tokens is None else max(0, self.max_tokens - len(self.token_ids))
        added = until_end(token_ids, self.tokenizer.eos_token_ids)[:room]
        self.edit = self.edit.then(added)
        self.token_ids += added
        if self.edit.tokens == tuple(self._removed):
            self._clear_edit()  # it appends just what it removed
        return added

    def cut(self, length: int) -> None:
        """Keep the first `length` tokens."""
        num_removed = len(self.token_ids) - length
        if num_removed <= 0:
            return
        appended = self.edit.tokens
        kept = appended[: len(appended) - num_removed] if num_removed < len(appended) else ()
        self.edit = Edit(self.edit.n + max(0, num_removed - len(appended)), kept)
        if num_removed > len(appended):
            self._removed[:0] = self.token_ids[length : len(self.token_ids) - len(appended)]
        del self.token_ids[length:]
        self._num_read = min(self._num_read, length)

    def _clear_edit(self) -> None:
        self.edit = _NO_EDIT
        self._removed.clear()

    def drop_end(self) -> None:
        """Remove an end-of-sequence token from the end."""
        if self.has_ended:
            self.cut(len(self.token_ids) - 1)

    def end(self) -> None:
        """End the sequence here."""
        if not self.has_ended:
            self.append([end_token_id(self.tokenizer)])


def _num_common(token_ids: list[int], step: int, added: Sequence[int]) -> int:
    """Number of leading tokens that a completion has in common with itself after `Added`."""
    common = step
    for expected, token_id in zip(token_ids[step:], added, strict=False):
        if expected != token_id:
            break
        common += 1
    return common
