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


class OlderForwardPass(ForwardPass, frozen=True, kw_only=True, tag="ForwardPass", eq=False):
    """The event with the method that it used to have."""

    def top_k_logprob(self, k: int) -> Any:
        """The `k` best log-probabilities and their token ids, best first.  both (1, k)"""
        return top_k_logprob(self.logits, k)


def older_event(event: Event) -> Event:
    """An event as a mod of the older SDK is given it."""
    if isinstance(event, Prefilled):
        tokens = cast(Any, list(event.context_info.tokens))
        return msgspec.structs.replace(event, context_info=OlderContextInfo(tokens=tokens))
    if isinstance(event, ForwardPass):
        return OlderForwardPass(
            request_id=event.request_id, step=event.step, logits=OlderLogits(event.logits)
        )
    if isinstance(event, Added):
        return msgspec.structs.replace(event, added_tokens=cast(Any, list(event.added_tokens)))
    return event
