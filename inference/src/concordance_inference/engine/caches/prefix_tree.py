r"""A radix tree over token ids: what is held for each prefix of earlier requests. No arrays.

Each node is a span of tokens that follows its parent's, with something held for that span, which is
split where sequences turn out to differ. A shared prefix is held once:

    "a long story"                       "a long " - "story"
    then "a long way"       becomes              \_ "way"

Bounded in bytes: the least recently used span is evicted first, leaves before their parents.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Generic, Protocol, Self, TypeVar

TokenIds = tuple[int, ...]


class Span(Protocol):
    """What is held for consecutive tokens."""

    @property
    def num_bytes(self) -> int:
        """Bytes of it."""
        ...

    def split(self, num_tokens: int) -> tuple[Self, Self]:
        """Return the part of the first `num_tokens` tokens, and the rest."""
        ...


class Mark(Protocol):
    """What is held for one position, beside the spans before it."""

    @property
    def num_bytes(self) -> int:
        """Bytes of it."""
        ...


HeldSpan = TypeVar("HeldSpan", bound=Span)
HeldMark = TypeVar("HeldMark", bound=Mark)


class Node(Generic[HeldSpan, HeldMark]):
    """A span of tokens, what is held for it, and the spans that follow it."""

    def __init__(
        self, parent: "Node[HeldSpan, HeldMark] | None", token_ids: TokenIds, held: Any
    ) -> None:
        """Make a node without children. Only a root has no parent, no tokens, and holds nothing."""
        self.parent = parent
        self.token_ids = token_ids
        self.held: HeldSpan = held
        self.marks: dict[int, HeldMark] = {}  # by position: tokens from the root
        self.children: dict[int, Node[HeldSpan, HeldMark]] = {}  # by their first token
        self.start: int = 0 if parent is None else parent.end  # position of its first token

    @property
    def end(self) -> int:
        """The position after its last token."""
        return self.start + len(self.token_ids)

    @property
    def num_bytes(self) -> int:
        """Bytes of its span and its marks."""
        held = self.held.num_bytes if self.token_ids else 0
        return held + sum(mark.num_bytes for mark in self.marks.values())


class Match(Generic[HeldSpan, HeldMark]):
    """The longest prefix of a sequence that the tree holds."""

    def __init__(self, path: list[Node[HeldSpan, HeldMark]], length: int) -> None:
        """Make a match.

        Args:
            path: The nodes from below the root; of the last, maybe only a part matches.
            length: Tokens that match.
        """
        self.path = path
        self.length = length

    def marks(self) -> dict[int, HeldMark]:
        """Return the marks by position, of the path and of the spans that follow it.

        A mark past the match may still serve: a window's snapshot reaches back a few tokens.
        """
        found: dict[int, HeldMark] = {}
        for node in self.path:
            found.update(node.marks)
        for child in self.path[-1].children.values() if self.path else ():
            found.update(child.marks)
        return found

    def spans(self, length: int) -> list[tuple[int, HeldSpan]]:
        """Return what is held for the first `length` tokens, each span with its start."""
        return [(node.start, node.held) for node in self.path if node.start < length]


class PrefixTree(Generic[HeldSpan, HeldMark]):
    """Sequences of tokens and what is held for them; each salt has a tree of its own."""

    def __init__(self) -> None:
        """Make an empty tree."""
        self._roots: dict[str, Node[HeldSpan, HeldMark]] = {}
        self._by_use: OrderedDict[int, Node[HeldSpan, HeldMark]] = OrderedDict()  # oldest first
        self.num_bytes = 0

    def __len__(self) -> int:
        return len(self._by_use)

    def match(self, salt: str, token_ids: Sequence[int]) -> Match[HeldSpan, HeldMark]:
        """Return the longest prefix of a sequence that is held. Changes nothing; see `use`."""
        path: list[Node[HeldSpan, HeldMark]] = []
        node = self._roots.get(salt)
        length = 0
        while node is not None and length < len(token_ids):
            node = node.children.get(token_ids[length])
            if node is None:
                break
            path.append(node)
            common = num_common(node.token_ids, token_ids[length : length + len(node.token_ids)])
            length += common
            if common < len(node.token_ids):
                break
        return Match(path, length)

    def use(self, match: Match[HeldSpan, HeldMark]) -> None:
        """Count what matches as used now, which keeps it from being evicted first."""
        self._touch([node for node in match.path if id(node) in self._by_use])

    def add(self, salt: str, token_ids: Sequence[int], match: Match[HeldSpan, HeldMark]) -> bool:
        """Prepare to hold a sequence: split the span in whose middle its match ends.

        Args:
            salt: The sequence's salt.
            token_ids: The sequence.
            match: What `match` returned for it just before; changed to end with a whole span.

        Returns:
            True if tokens follow the match, for which `put` has to be called.
        """
        parent = match.path[-1] if match.path else self._root(salt)
        if match.length < parent.end:
            parent = self._split(parent, match.length - parent.start)
            match.path[-1] = parent
        return len(token_ids) > match.length

    def put(
        self,
        salt: str,
        token_ids: Sequence[int],
        match: Match[HeldSpan, HeldMark],
        held: HeldSpan,
    ) -> None:
        """Hold a span for the tokens of a sequence that follow its match."""
        parent = match.path[-1] if match.path else self._root(salt)
        node = Node[HeldSpan, HeldMark](parent, tuple(token_ids[match.length :]), held)
        parent.children[node.token_ids[0]] = node
        match.path.append(node)
        match.length = node.end
        self.num_bytes += held.num_bytes
        self._touch(match.path)

    def mark(self, match: Match[HeldSpan, HeldMark], position: int, mark: HeldMark) -> None:
        """Hold a mark for a position of a match, if none is held there."""
        for node in match.path:
            if node.start < position <= node.end and position not in node.marks:
                node.marks[position] = mark
                self.num_bytes += mark.num_bytes

    def shrink(self, num_bytes: int) -> None:
        """Evict the least recently used leaves until at most `num_bytes` are held."""
        while self.num_bytes > num_bytes and self._by_use:
            self._drop(next(node for node in self._by_use.values() if not node.children))

    def _root(self, salt: str) -> Node[HeldSpan, HeldMark]:
        if salt not in self._roots:
            self._roots[salt] = Node(None, (), None)
        return self._roots[salt]

    def _touch(self, path: Sequence[Node[HeldSpan, HeldMark]]) -> None:
        """Make nodes the most recently used; a child is never newer than its parent."""
        for node in reversed(path):
            self._by_use[id(node)] = node
            self._by_use.move_to_end(id(node))

    def _split(self, node: Node[HeldSpan, HeldMark], num_tokens: int) -> Node[HeldSpan, HeldMark]:
        """Split a node in two; return the first part, which takes its place."""
        parent = node.parent
        assert parent is not None
        self.num_bytes -= node.num_bytes
        first, rest = node.held.split(num_tokens)
        upper = Node[HeldSpan, HeldMark](parent, node.token_ids[:num_tokens], first)
        upper.marks = {at: mark for at, mark in node.marks.items() if at <= upper.end}
        parent.children[upper.token_ids[0]] = upper
        node.parent, node.start, node.held = upper, upper.end, rest
        node.token_ids = node.token_ids[num_tokens:]
        node.marks = {at: mark for at, mark in node.marks.items() if at > upper.end}
        upper.children[node.token_ids[0]] = node
        self.num_bytes += upper.num_bytes + node.num_bytes
        self._touch([upper, node])
        return upper

    def _drop(self, node: Node[HeldSpan, HeldMark]) -> None:
        parent = node.parent
        assert parent is not None
        del parent.children[node.token_ids[0]]
        del self._by_use[id(node)]
        self.num_bytes -= node.num_bytes
        if parent.parent is None and not parent.children:
            self._roots = {s: root for s, root in self._roots.items() if root is not parent}


def num_common(one: Sequence[int], other: Sequence[int]) -> int:
    """Length of the common prefix of two sequences."""
    length = min(len(one), len(other))
    if tuple(one[:length]) == tuple(other[:length]):
        return length
    return next(i for i in range(length) if one[i] != other[i])
