"""A request that is played position by position: the engine's loop, without a model."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from concordance_shared import Conversation, FinishReason, InvalidRequestError, ModError
from msgspec import Struct

from concordance_sdk.channels import ChannelFormat, Channels
from concordance_sdk.composition import ModUse, use
from concordance_sdk.definition import longest_hold
from concordance_sdk.host.dispatch import ModDispatch
from concordance_sdk.host.instance import InProcessMod, RequestMod
from concordance_sdk.host.request_state import RequestState
from concordance_sdk.mod import definition_of
from concordance_sdk.request_context import RequestContext
from concordance_sdk.testing.byte_tokenizer import ByteTokenizer
from concordance_sdk.testing.event_log import EventLog, lines_of
from concordance_sdk.testing.played import Played, numbered
from concordance_sdk.testing.scripted_model import Script, ScriptedModel
from concordance_sdk.tokenizer import Tokenizer

#: Context length of the scripted model.
CONTEXT_LEN = 131_072

_numbers = itertools.count(1)


class Scene(Struct, frozen=True, kw_only=True, eq=False):
    """What is played: the model's tokens, the prompt, and the limits of the request.

    Attributes:
        script: The model's tokens: a text, token ids, or a function of the completion.
        resumes: True if the script counts the model's own tokens, False if it counts positions.
        prompt: The prompt; `>` if it is empty, since a model needs a token to process.
        conversation: The messages, tools and response format for mods.
        max_tokens: The maximum number of completion tokens.
        tokenizer: The model's tokenizer.
        is_streamed: True if text that was shown cannot be backtracked.
        channels: How the model marks channels, if it has them.

    Raises:
        InvalidRequestError: `max_tokens` is less than 1.

    Examples:
        >>> playing = Playing([], Scene(script="Hello", max_tokens=2))
        >>> while not playing.is_over:
        ...     playing.step()
        >>> playing.finish().text
        'He'
    """

    script: str | Script
    resumes: bool = False
    prompt: str = ""
    conversation: Conversation = Conversation()
    max_tokens: int = 256
    tokenizer: Tokenizer = ByteTokenizer()
    is_streamed: bool = False
    channels: ChannelFormat | None = None

    def __post_init__(self) -> None:
        """Reject a limit that the server rejects."""
        if self.max_tokens < 1:
            raise InvalidRequestError(
                f"max_tokens is at least 1, not {self.max_tokens}",
                param="max_tokens",
            )


#: Makes a mod of a request elsewhere, for example in another process.
MakeMod = Callable[[RequestContext], RequestMod]


def _made(used: ModUse | MakeMod, tokenizer: Tokenizer, request: RequestContext) -> RequestMod:
    if not isinstance(used, ModUse):
        return used(request)
    return InProcessMod(used.definition, used.parameters, tokenizer=tokenizer, request=request)


class Playing:
    """One request, played step by step. Several can be interleaved, as in a batch.

    Examples:
        >>> playing = Playing([], Scene(script="Hi"))
        >>> while not playing.is_over:
        ...     playing.step()
        >>> playing.finish().text
        'Hi'
    """

    def __init__(self, mods: Sequence[ModUse | MakeMod], scene: Scene) -> None:
        """Create the mods and dispatch `Prefilled`.

        Args:
            mods: The mods, in the order in which they act, or functions that make them.
            scene: The scene.
        """
        self._scene = scene
        tokenizer = scene.tokenizer
        script = scene.script
        self._model = ScriptedModel(
            tokenizer.encode(script) if isinstance(script, str) else script,
            vocab_size=tokenizer.vocab_size,
            eos_id=min(tokenizer.eos_token_ids),
            resumes=scene.resumes,
        )
        request_id = f"played-{next(_numbers)}"
        request = RequestContext(scene.conversation, request_id=request_id)
        instances = [_made(used, tokenizer, request) for used in mods]
        hold = longest_hold(mod.max_backtrack for mod in instances)
        self.state = RequestState(
            request_id,
            tokenizer.encode(scene.prompt or ">"),
            max_tokens=scene.max_tokens,
            eos_ids=tokenizer.eos_token_ids,
            hold=hold if scene.is_streamed else None,
            holds=request.holds,
            keeps_changes=True,
        )
        if scene.channels is not None:
            request.channels = Channels(scene.channels, self.state)
            self.state.followers.append(request.channels)
        self._log = EventLog(self.state.reports)
        self._dispatch = ModDispatch(
            self.state,
            [self._log, *instances],
            vocab_size=tokenizer.vocab_size,
            context_len=CONTEXT_LEN,
            channels=request.channels,
        )
        self._guarded(self._dispatch.prefilled)

    @property
    def is_over(self) -> bool:
        """True if the request has ended."""
        return self.state.is_finished

    def step(self) -> None:
        """Generate the next position."""
        self._guarded(self._decide_position)

    def finish(self) -> Played:
        """Dispatch `Finished` and return the result.

        Raises:
            ModError: A mod raised, returned an invalid action, or emitted an error.
        """
        self._guarded(self._dispatch.finished)
        self._log.take_reports()
        state, scene = self.state, self._scene
        if state.error:
            state.error.reports = tuple(state.reports.entries)
            log = numbered(lines_of(self._log.entries, scene.tokenizer))
            state.error.add_note(f"what was played:\n{log}")
            raise state.error
        return Played(
            request_id=state.request_id,
            text=scene.tokenizer.decode(state.completion_ids, skip_special_tokens=True),
            token_ids=tuple(state.completion_ids),
            prompt_ids=tuple(state.token_ids[: state.prompt_len]),
            finish_reason=state.finish_reason or FinishReason.CANCELLED,
            tool_calls=state.tool_calls,
            history=tuple(self._log.entries),
            changes=tuple(state.edits.take_changes()),
            reads=tuple(self._model.reads),
            num_forced=state.num_forced,
            num_backtracked=state.num_backtracked,
            tokenizer=scene.tokenizer,
        )

    def _decide_position(self) -> None:
        state = self.state
        read = state.token_ids[min(state.num_cached, len(state.token_ids) - 1) :]
        logits = self._model.forward(read, state.completion_ids, self._log.num_generated)
        state.mark_processed(len(state.token_ids))
        chosen = self._dispatch.forward_pass(logits, self._take_prompt_logprobs())
        if chosen is not None:
            token_id = chosen.best[0]
            self._dispatch.sampled(token_id, partial(logits.logprob, token_id))

    def _take_prompt_logprobs(self) -> tuple[float | None, ...] | None:
        """Return them at the first position, if a mod asked for them.

        A script says nothing about the prompt: to a scripted model all of its tokens are equally
        probable.
        """
        if not self.state.wants_prompt_logprobs or len(self._model.reads) > 1:
            return None
        logprob = -math.log(self._scene.tokenizer.vocab_size)
        return (None, *[logprob] * (self.state.prompt_len - 1))

    def _guarded(self, call: Any) -> None:
        """Call something that runs mods; their errors end this request."""
        try:
            call()
        except ModError as exc:
            self.state.fail(exc)


def uses_for(mods: Sequence[Any], parameters: Mapping[str, Any]) -> list[ModUse]:
    """Pair mods with their own parameters if given, or with those common to all class mods.

    Raises:
        InvalidRequestError: A parameter is missing, unknown or of the wrong type.
    """
    return [
        mod
        if isinstance(mod, ModUse)
        else use(mod, **(parameters if definition_of(mod).parameters else {}))
        for mod in mods
    ]
