"""The completions that ended a short time ago, so that requests can continue them."""

import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar

import msgspec
from concordance_shared import FinishReason, InvalidRequestError, RequestError, ToolCall
from msgspec import Struct

from concordance_inference.caller import current_owner, owned_ids

if TYPE_CHECKING:
    from concordance_inference.generation import GenerationRequest

#: Limits of what is kept: completions, and tokens of all of them with their prompts.
MAX_COMPLETIONS = 1024
MAX_TOKENS = 2**21

#: The ends of a completion that can continue.
_CUT = (FinishReason.LENGTH, FinishReason.CANCELLED)

#: What the ids of responses begin with, in front of the id of the request.
_PREFIXES = ("chatcmpl-", "cmpl-", "resp_", "msg_")

#: The id of a further choice, as clients write it.
_CHOICE = re.compile(r"(.+):([1-9]\d*)", re.ASCII)


class EndedCompletion(Struct, frozen=True, kw_only=True, eq=False):
    """A completion that has ended, and what it takes to continue it.

    Attributes:
        request: The request.
        token_ids: Its prompt, as mods left it, and the completion. Not copied.
        prompt_len: Tokens of the prompt.
        forced_by: Per token of the completion: the mod that forced it; `None`: sampled.
        num_sampled: Draws of the sampler that the completion took.
        seed: The seed of the draws.
        dropped: Tokens that a mod forced at the end, beyond the budget.
        dropped_by: The mod that forced them.
        finish_reason: Why it ended.
        tool_calls: The calls that mods made.
        is_ended_by_hand: A command ended it.
        is_at_call: It ended with the call of a hosted tool.
    """

    request: "GenerationRequest"
    token_ids: Sequence[int]
    prompt_len: int
    forced_by: Sequence[str | None]
    num_sampled: int
    seed: int
    finish_reason: FinishReason
    tool_calls: tuple[ToolCall, ...] = ()
    dropped: tuple[int, ...] = ()
    dropped_by: str | None = None
    is_ended_by_hand: bool = False
    is_at_call: bool = False

    @property
    def can_continue(self) -> bool:
        """True if the model had not ended it."""
        return self.is_ended_by_hand or self.is_at_call or self.finish_reason in _CUT


class UnknownCompletionError(RequestError):
    """No completion of this id is kept."""

    status_code: ClassVar[int] = 404
    type: ClassVar[str] = "not_found_error"
    code: ClassVar[str] = "completion_not_found"


class KeptCompletion(Struct, frozen=True, eq=False):
    """A completion, and how long it is kept.

    Attributes:
        model: The id of its model.
        until: The end, by `time.monotonic`.
        ended: The completion.
    """

    model: str
    until: float
    ended: EndedCompletion

    @property
    def num_tokens(self) -> int:
        """Tokens of prompt and completion."""
        return len(self.ended.token_ids)


class EndedCompletions:
    """Keeps completions for a time, by the id of their request. Thread-safe."""

    def __init__(
        self,
        seconds: float,
        *,
        max_completions: int = MAX_COMPLETIONS,
        max_tokens: int = MAX_TOKENS,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep nothing yet.

        Args:
            seconds: How long each is kept; 0 keeps none.
            max_completions: The most that are kept; the oldest is dropped first.
            max_tokens: The most tokens of all of them together, prompts included.
            now: Returns the time in seconds.
        """
        self._seconds = seconds
        self._max_completions = max_completions
        self._max_tokens = max_tokens
        self._now = now
        self._kept: OrderedDict[str, KeptCompletion] = OrderedDict()
        self._num_tokens = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, model: str, ended: EndedCompletion) -> None:
        """Keep a completion of a model. Takes the same time whatever its length."""
        if not self._seconds or ended.request.is_candidate:
            return
        until = self._now() + self._seconds
        kept = KeptCompletion(model, until, ended)
        with self._lock:
            self._drop(ended.request.request_id)
            self._kept[ended.request.request_id] = kept
            self._num_tokens += kept.num_tokens
            self._shrink()

    def reopen(self, request_id: str) -> None:
        """Let a completion that ended with the call of a hosted tool be continued after it."""
        with self._lock:
            if kept := self._kept.get(request_id):
                ended = msgspec.structs.replace(kept.ended, is_at_call=True)
                self._kept[request_id] = msgspec.structs.replace(kept, ended=ended)

    def find(self, model: str, completion_id: str) -> EndedCompletion:
        """Return a completion of a model that can be continued.

        Args:
            model: The model's id.
            completion_id: The id of the response or of the request.

        Raises:
            UnknownCompletionError: None is kept with this id.
            InvalidRequestError: It is another model's, or the model has ended it.
        """
        ended = self.kept(model, completion_id, field="resume_from")
        if ended is None:
            raise UnknownCompletionError(
                f"resume_from: no completion {completion_id!r:.80} is kept; completions can be "
                f"resumed for {self._seconds:g} seconds, on the server that generated them. Send "
                "the conversation with the text so far instead",
                param="resume_from",
            )
        if not ended.can_continue:
            raise InvalidRequestError(
                f"resume_from: {completion_id!r:.80} ended by {str(ended.finish_reason)!r}, so "
                "nothing is left to generate; only a completion that ended by 'length', or that "
                "was cancelled, can be resumed",
                param="resume_from",
            )
        return ended

    def kept(self, model: str, completion_id: str, *, field: str) -> EndedCompletion | None:
        """Return a completion of a model; `None` if none is kept with this id.

        Args:
            model: The model's id.
            completion_id: The id of the response or of the request.
            field: The field of the request that names it.

        Raises:
            InvalidRequestError: It is another model's.
        """
        with self._lock:
            self._shrink()
            found = (self._visible(request_id) for request_id in request_ids_of(completion_id))
            kept = next((each for each in found if each is not None), None)
        if kept is not None and kept.model != model:
            raise another_model(field, completion_id, kept.model, model)
        return kept and kept.ended

    def of_request(self, request_id: str) -> KeptCompletion | None:
        """Return the completion of a request of the present owner, of any model.

        `None` if none is kept.
        """
        with self._lock:
            self._shrink()
            return self._visible(request_id)

    def _visible(self, request_id: str) -> KeptCompletion | None:
        """Return the completion of a request, if it is the present owner's."""
        kept = self._kept.get(request_id)
        is_own = kept is not None and kept.ended.request.owner == current_owner()
        return kept if is_own else None

    def _drop(self, request_id: str) -> None:
        if kept := self._kept.pop(request_id, None):
            self._num_tokens -= kept.num_tokens

    def _shrink(self) -> None:
        """Drop what has expired, and the oldest that exceed the limits."""
        now = self._now()
        while self._kept:
            request_id, kept = next(iter(self._kept.items()))
            is_full = len(self._kept) > self._max_completions or self._num_tokens > self._max_tokens
            if kept.until > now and not is_full:
                return
            self._drop(request_id)


def request_ids_of(completion_id: str) -> tuple[str, ...]:
    """Return the ids that a request may have, by that of its response.

    The request for a further choice, which clients name `ID:2`, is `ID 2`.
    """
    prefix = next((prefix for prefix in _PREFIXES if completion_id.startswith(prefix)), "")
    name = completion_id.removeprefix(prefix)
    choice = _CHOICE.fullmatch(name)
    of_choices = [f"{each} {choice[2]}" for each in owned_ids(choice[1])] if choice else []
    return (*owned_ids(name), *of_choices)


def another_model(field: str, completion_id: str, model: str, named: str) -> InvalidRequestError:
    """Return the error for a completion of another model than the request names.

    Args:
        field: The field of the request that names the completion.
        completion_id: The completion.
        model: Its model.
        named: The model that the request names.
    """
    return InvalidRequestError(
        f"{field}: {completion_id!r:.80} is a completion of the model {model!r}, not of "
        f"{named!r}; name {model!r} as the model",
        param=field,
    )
