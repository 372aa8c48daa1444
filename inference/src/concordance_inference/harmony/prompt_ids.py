"""The token ids of a prompt, message by message."""

from concordance_inference.chat.length_limit import LengthLimit
from concordance_inference.chat.rendering import Rendering
from concordance_inference.harmony.message import HarmonyMessage
from concordance_inference.harmony.message_ids import MessageIds, MessageKey
from concordance_inference.harmony.messages import reasoning_message
from concordance_inference.harmony.sampled_turns import SampledTurn


class PromptIds:
    """A prompt to which messages are added, until it is too long.

    Attributes:
        ids: The token ids so far.
    """

    def __init__(self, known: MessageIds, limit: LengthLimit, rendering: Rendering) -> None:
        """Begin a prompt.

        Args:
            known: The token ids of messages.
            limit: Limit of its length.
            rendering: What may be control tokens in it.
        """
        self.ids: list[int] = []
        self._known = known
        self._limit = limit
        self._allows_control_tokens = rendering.allows_control_tokens

    def add(self, message: HarmonyMessage) -> None:
        """Add a message.

        Raises:
            ContextLengthError: The prompt is longer than the context.
        """
        self._limit.check_tokens(message.content + message.second_part)
        self.ids += self._known.of(MessageKey(message, self._allows_control_tokens))
        self._limit.check_count(len(self.ids))

    def add_turn(self, turn: SampledTurn, reasoning: str | None) -> None:
        """Add a turn of the assistant as sampled.

        Args:
            turn: The turn.
            reasoning: The reasoning that the client sends of it; `None` if it is dropped.

        Raises:
            ContextLengthError: The prompt is longer than the context.
        """
        is_same = reasoning == turn.reasoning
        if reasoning and not is_same:
            self.add(reasoning_message(reasoning))
        for ids in turn.ids(with_reasoning=is_same):
            self.ids += ids
        self._limit.check_count(len(self.ids))
