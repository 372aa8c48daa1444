"""Events as older mods read them: lists instead of tuples, and logits of numpy."""

from typing import Any, cast

import msgspec
from concordance_shared import Added, ContextInfo, Event, ForwardPass, Prefilled

from concordance_inference.mods.older_sdk.logits import OlderLogits, top_k_logprob


class OlderContextInfo(ContextInfo, frozen=True, kw_only=True):
    """The prompt, with its length under the older name too."""

    @property
    def _prompt_len(self) -> int:
        return self.prompt_len


class _OfTheModel:
    """What older events could tell of the model beyond its logits, and mostly did not either."""

    __slots__ = ()
    hidden_states = None
    attention_patterns = None
    layer = None
    input_ids: list[int] | None = None


class OlderPrefilled(_OfTheModel, Prefilled, frozen=True, kw_only=True, tag="Prefilled"):
    """The event with the prompt's token ids under their older name too."""

    @property
    def input_ids(self) -> list[int]:  # type: ignore[override]  # known here
        """The token ids of the prompt."""
        return list(self.context_info.tokens)


class OlderForwardPass(
    _OfTheModel, ForwardPass, frozen=True, kw_only=True, tag="ForwardPass", eq=False
):
    """The event with the method that it used to have."""

    def top_k_logprob(self, k: int) -> Any:
        """The `k` best log-probabilities and their token ids, best first.  both (1, k)"""
        return top_k_logprob(self.logits, k)


def older_event(event: Event) -> Event:
    """An event as a mod of the older SDK is given it."""
    if isinstance(event, Prefilled):
        tokens = cast(Any, list(event.context_info.tokens))
        return OlderPrefilled(
            request_id=event.request_id,
            step=event.step,
            max_steps=event.max_steps,
            context_info=OlderContextInfo(tokens=tokens),
        )
    if isinstance(event, ForwardPass):
        return OlderForwardPass(
            request_id=event.request_id, step=event.step, logits=OlderLogits(event.logits)
        )
    if isinstance(event, Added):
        return msgspec.structs.replace(event, added_tokens=cast(Any, list(event.added_tokens)))
    return event
