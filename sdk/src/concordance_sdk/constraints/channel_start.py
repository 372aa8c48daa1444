"""Where a constrained span begins in a completion with channels."""

from concordance_shared import Action
from concordance_shared.channels import FINAL

from concordance_sdk.action_builder import Actions
from concordance_sdk.channels.completion_channels import Channels
from concordance_sdk.request_context import current_request
from concordance_sdk.tokenizer import Tokenizer

#: Tokens of the completion that may be removed where a span begins: those of a token that is split,
#: or of content that was not known to be content.
MAX_SPLIT = 4


class ChannelStart:
    """The first step of a span: the beginning of the content of a channel.

    Without a channel, and in a completion without channels, it is any position.
    """

    def __init__(self, channel: str | None) -> None:
        """Wait for a channel; `None` for `final` where messages have headers.

        Args:
            channel: The channel.
        """
        self.channel = channel
        self._decided: int | None = None  # a step at which the channel is known to begin

    def is_open(self, step: int) -> bool:
        """True if the span may begin at a step, the next position."""
        channels = self._channels()
        if channels is None:
            return self.channel in (None, FINAL)
        return step == self._decided or self._is_in(channels, step)

    def opened_by(self, step: int, length: int) -> int | None:
        """Return the step at which added tokens opened the channel; `None` if they did not.

        Args:
            step: The step of the first of the tokens.
            length: The length of the completion with them.
        """
        channels = self._channels()
        if channels is None or not self._is_in(channels, length):
            return None
        if channels.stretch_at(length).begin <= step:
            return None
        return max(channels.begin, length - MAX_SPLIT) if channels.begin < step else channels.begin

    def _is_in(self, channels: Channels, length: int) -> bool:
        place = channels.at(length)
        return place.channel == (self.channel or FINAL) and not place.is_to_tool

    def token_ids(self, begin: int, end: int) -> list[int]:
        """Return the tokens of the channel before the next position."""
        channels = self._channels()
        return channels.token_ids(begin, end) if channels else []

    def split(self, length: int, actions: Actions, tokenizer: Tokenizer) -> Action | None:
        """Return the action that ends a token with the mark that opened the channel.

        A token such as `</think>{` begins the content.
        """
        channels = self._channels()
        rest = channels.rest if channels else b""
        if channels is None or not rest.strip():
            return None
        begin = channels.begin
        (token_id,) = channels.token_ids(begin - 1, begin)
        mark = channels.format.token_bytes(token_id)[: -len(rest)]
        return actions.backtrack(length - begin + 1, tokenizer.encode(mark.decode()))

    def begin_at(self, step: int) -> None:
        """Let the span begin at a step, after the tokens from there on have been removed."""
        self._decided = step

    def go_to(self, step: int) -> None:
        """Forget what the tokens from a step on have decided."""
        if self._decided is not None and step < self._decided:
            self._decided = None

    def _channels(self) -> Channels | None:
        """The channels of the completion, if the span has to wait for one of them."""
        request = current_request()
        channels = request.channels if request else None
        if channels is None or (self.channel is None and not channels.format.has_headers):
            return None
        return channels
