"""The header guard: the tokens that a Harmony completion may have, so that it can be parsed.

While a header is written, only the tokens of the legal headers may be next. Within a message, all
text may, and of the special tokens only the one that ends such a message:

    analysis, commentary    <|end|>       another message follows
    final                   <|return|>    ends the completion
    a call of a tool        <|call|>      ends the completion
"""

from collections.abc import Callable, Collection, Sequence
from functools import lru_cache

from concordance_inference.harmony.headers import Kind, LegalHeaders, Node, header_trie
from concordance_inference.harmony.vocabulary import HarmonyTokens
from concordance_inference.token_rules import LegalTokens, follow


class HeaderGuard:
    """The `TokenRules` of Harmony completions. Its states are places in a graph.

    A mod may force other tokens; the rules hold again from the next message on.

    Attributes:
        headers: What the header of a message may say.
    """

    def __init__(
        self,
        headers: LegalHeaders,
        tokens: HarmonyTokens,
        encode: Callable[[str], Sequence[int]],
        special_ids: Collection[int],
    ) -> None:
        """Build the graph.

        Args:
            headers: What the header of a message may say.
            tokens: The structural tokens.
            encode: Tokenizes text.
            special_ids: All special tokens of the vocabulary.
        """
        self.headers = headers
        self._tokens = tokens
        self._special = frozenset(special_ids)
        self._between = Node({})  # after a message
        self._contents: dict[Kind, Node] = {
            "analysis": self._content("analysis", tokens.end),
            "commentary": self._content("commentary", tokens.end),
            "final": self._content("final", tokens.return_),
            "call": self._content("call", tokens.call),
        }
        self._started = Node({})  # after `<|start|>`
        self._between.following[tokens.start] = self._started
        *role, last = encode("assistant")
        node = self._started
        for token_id in role:
            node = node.following.setdefault(token_id, Node({}))
        node.following[last] = header_trie(headers, tokens, encode, self._contents)
        self._illegal_header = Node({})
        self._illegal_content = self._content("other", tokens.end, tokens.return_, tokens.call)
        self._legal: dict[Node, LegalTokens] = {}

    def _content(self, kind: Kind, *closing: int) -> Node:
        return Node(dict.fromkeys(closing, self._between), kind)

    def start(self, prompt_ids: Sequence[int]) -> Node:
        """Return the place at the end of a prompt, which may be within a message or a header."""
        ids = list(prompt_ids)
        starts = (i for i in range(len(ids) - 1, -1, -1) if ids[i] == self._tokens.start)
        begin = next(starts, None)
        return self._illegal_header if begin is None else follow(self, self._between, ids[begin:])

    def after(self, state: Node, token_id: int) -> Node:
        """Return the place after a token."""
        following = state.following.get(token_id)
        if following is not None:
            return following
        if state.kind and token_id not in self._special:
            return state
        return self._after_illegal(state, token_id)

    def _after_illegal(self, state: Node, token_id: int) -> Node:
        tokens = self._tokens
        if token_id == tokens.start:
            return self._started
        if token_id in tokens.closing:
            return self._between
        if state.kind and token_id != tokens.channel:
            return state
        return self._illegal_content if token_id == tokens.message else self._illegal_header

    def legal(self, state: Node) -> LegalTokens | None:
        """Return the tokens that may be next; `None`, all, in a header that is not legal."""
        if state is self._illegal_header:
            return None
        if state not in self._legal:
            ids = frozenset(state.following)
            self._legal[state] = _in_content(self._special, ids) if state.kind else LegalTokens(ids)
        return self._legal[state]

    def usual(self, state: Node) -> Node | None:
        """Return the place after the next token: the same one within a message."""
        if state.kind:
            return state
        legal = self.legal(state)
        only = None if legal is None else legal.only
        return None if only is None else state.following[only]


@lru_cache(64)
def _in_content(special_ids: frozenset[int], closing: frozenset[int]) -> LegalTokens:
    """All text, and what ends a message. One object for all requests: masks are kept by it."""
    return LegalTokens(special_ids - closing, is_complement=True)
