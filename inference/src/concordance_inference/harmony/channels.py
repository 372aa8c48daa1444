"""The channels of a completion in Harmony, for mods, stop strings and constraints."""

from collections.abc import Callable, Collection, Sequence

from concordance_shared import ChannelPlace
from concordance_shared.channels import FINAL

from concordance_inference.harmony.place import START, Place, Written, after
from concordance_inference.harmony.vocabulary import NAMES, HarmonyTokens

_ROLE = b"assistant"


class HarmonyChannels:
    """The state machine of `place`, over the token ids of a model."""

    has_headers = True

    def __init__(
        self,
        tokens: HarmonyTokens,
        *,
        opened: Place = START,
        token_bytes: Callable[[int], bytes],
        encode: Callable[[str], Sequence[int]],
        may_answer: bool = True,
    ) -> None:
        """Describe the channels of a completion.

        Args:
            tokens: The structural tokens.
            opened: The place at which the completion begins.
            token_bytes: The bytes of a token; the name of a special one.
            encode: Encodes plain text.
            may_answer: There may be a message in `final`; else a tool must be called.
        """
        self.tokens = tokens
        self.opened = opened
        self.token_bytes = token_bytes
        self._encode = encode
        self.may_answer = may_answer
        self._in_content = frozenset({tokens.start, tokens.channel}) | tokens.closing
        self._structural = tokens.all

    def watched(self, state: Place) -> Collection[int] | None:
        """Within a message, the structural tokens that end it; outside, any token."""
        return self._in_content if state.kind == "content" else None

    def after(self, state: Place, token_id: int) -> Place:
        """Return the place after a token; the same object if the token does not change it."""
        return after(state, token_id, self.tokens, self.token_bytes)

    def place(self, state: Place) -> ChannelPlace:
        """The channel and the recipient of a message, as far as its header is well-formed.

        A message in the name of another author, which no client receives, counts as a header.
        """
        if state.kind != "content" or state.header.is_of_other:
            return ChannelPlace(in_header=True)
        return ChannelPlace(channel=state.header.channel, recipient=state.header.recipient)

    def lead(self, state: Place) -> int:
        """No token: a header ends at a token of its own."""
        del state
        return 0

    def num_mark(self, state: Place) -> int:
        """The structural token that ended a message."""
        del state
        return 1

    def rest(self, state: Place) -> bytes:
        """Nothing: a header ends at a token of its own."""
        del state
        return b""

    def reasoning_ends(self, state: Place) -> tuple[str, ...]:
        """The structural tokens that end a message."""
        del state
        return tuple(NAMES[name] for name in ("end", "start", "channel", "return_", "call"))

    def to_final(self, state: Place) -> Sequence[int] | None:
        """The tokens that end a message and open `final`; in its header, the rest of that."""
        if self.place(state).channel == FINAL:
            return ()
        if not self.may_answer:
            return None
        begun = self.to_header(state)
        if begun is None:
            return self._rest_of_final(state)
        return (*begun, *self._encode(FINAL), self.tokens.message)

    def to_header(self, state: Place) -> Sequence[int] | None:
        """The tokens that end a message, up to the channel in the next header."""
        tokens = self.tokens
        header = (tokens.start, *self._encode(_ROLE.decode()), tokens.channel)
        if state.kind == "between":
            return header
        if state.kind == "content":
            return None if self.place(state).is_to_tool else (tokens.end, *header)
        if not state.written:
            return header[1:] if state.names_role else header[-1:]
        return header[-1:] if state.names_role and state.written == (_ROLE,) else None

    def _rest_of_final(self, state: Place) -> Sequence[int] | None:
        """What a header lacks that may be one of `final`; `None` for another one."""
        whole: Written = (self.tokens.channel, FINAL.encode())
        if state.names_role:
            whole = (_ROLE, *whole)
        if state.kind != "header" or len(state.written) > len(whole):
            return None
        *before, last = state.written
        at = len(before)
        expected = whole[at]
        if tuple(before) != whole[:at]:
            return None
        rest: list[int] = []
        if isinstance(last, bytes) and isinstance(expected, bytes):
            if not expected.startswith(last):
                return None
            rest += self._encode(expected[len(last) :].decode()) if last != expected else ()
        elif last != expected:
            return None
        for part in whole[at + 1 :]:
            rest += self._encode(part.decode()) if isinstance(part, bytes) else [part]
        return (*rest, self.tokens.message)

    def end_id(self, place: ChannelPlace) -> int:
        """`<|call|>` in a message to a tool, `<|return|>` elsewhere."""
        return self.tokens.return_ if place.recipient is None else self.tokens.call

    def reopening(self, state: Place) -> Collection[int]:
        """The token with which `analysis` begins, after `<|channel|>` in a header."""
        is_next = state.written[-1:] == (self.tokens.channel,)
        return tuple(self._encode("analysis")[:1]) if is_next else ()
