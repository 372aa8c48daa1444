"""A radix tree over token ids: what was read before, by its tokens. No arrays.

Each node stands for a span of tokens behind those of its parent, and holds something for that
span which can be cut in two where sequences turn out to differ. Shared beginnings are held once.
Bounded in bytes: what was not used for the longest time goes first, from the ends inwards.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Generic, Protocol, Self, TypeVar

TokenIds = tuple[int, ...]


class Span(Protocol):
    """What is held for some consecutive tokens."""

    @property
    def num_bytes(self) -> int:
        """What it takes, in bytes."""
        ...

    def split(self, num_tokens: int) -> tuple[Self, Self]:
        """The first `num_tokens` tokens' part, and the rest."""
        ...


class Mark(Protocol):
    """What is held for one position, beside the spans before it."""

    @property
    def num_bytes(self) -> int:
        """What it takes, in bytes."""
        ...


HeldSpan = TypeVar("HeldSpan", bound=Span)
HeldMark = TypeVar("HeldMark", bound=Mark)


class Node(Generic[HeldSpan, HeldMark]):
    """A span of tokens, what is held for it, and what was seen to follow."""

    def __init__(
        self, parent: "Node[HeldSpan, HeldMark] | None", token_ids: TokenIds, held: Any
    ) -> None:
        """Make a node without children. Only a root has no parent, no tokens, and holds nothing."""
        self.parent = parent
        self.token_ids = token_ids
        self.held: HeldSpan = held
        self.marks: dict[int, HeldMark] = {}  # by how many tokens from the root stand before
        self.children: dict[int, Node[HeldSpan, HeldMark]] = {}  # by their first token
        self.start: int = 0 if parent is None else parent.end  # tokens from the root before it

    @property
    def end(self) -> int:
        """How many tokens stand from the root to its end."""
        return self.start + len(self.token_ids)

    @property
    def num_bytes(self) -> int:
        """What it holds, in bytes."""
        held = self.held.num_bytes if self.token_ids else 0
        return held + sum(mark.num_bytes for mark in self.marks.values())


class Match(Generic[HeldSpan, HeldMark]):
    """How far a sequence was seen before."""

    def __init__(self, path: list[Node[HeldSpan, HeldMark]], length: int) -> None:
        """Make a match.

        Args:
            path: The nodes from below the root; of the last, maybe only a part matches.
            length: How many tokens match.
        """
        self.path = path
        self.length = length

    def marks(self) -> dict[int, HeldMark]:
        """What is held at positions on the way and shortly behind, by position."""
        found: dict[int, HeldMark] = {}
        for node in self.path:
            found.update(node.marks)
        for child in self.path[-1].children.values() if self.path else ():
            found.update(child.marks)
        return found

    def spans(self, length: int) -> list[tuple[int, HeldSpan]]:
        """What is held for the first `length` tokens, each with where it begins."""
        return [(node.start, node.held) for node in self.path if node.start < length]


class PrefixTree(Generic[HeldSpan, HeldMark]):
    """Sequences that were seen, apart for each salt."""

    def __init__(self) -> None:
        """Begin with nothing seen."""
        self._roots: dict[str, Node[HeldSpan, HeldMark]] = {}
        self._by_use: OrderedDict[int, Node[HeldSpan, HeldMark]] = OrderedDict()  # oldest first
        self.num_bytes = 0

    def __len__(self) -> int:
        return len(self._by_use)

    def match(self, salt: str, token_ids: Sequence[int]) -> Match[HeldSpan, HeldMark]:
        """The longest beginning of a sequence that was seen; what matches counts as used."""
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
        self._use(path)
        return Match(path, length)

    def add(self, salt: str, token_ids: Sequence[int], match: Match[HeldSpan, HeldMark]) -> bool:
        """Make a place for a sequence behind what was seen of it.

        Args:
            salt: Whose it is.
            token_ids: The sequence.
            match: What `match` gave for it just before.

        Returns:
            Whether it goes on behind what was seen, so that a span is to be put there.
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
        """Hold something for the tokens of a sequence behind those that match."""
        parent = match.path[-1] if match.path else self._root(salt)
        node = Node[HeldSpan, HeldMark](parent, tuple(token_ids[match.length :]), held)
        parent.children[node.token_ids[0]] = node
        match.path.append(node)
        match.length = node.end
        self.num_bytes += held.num_bytes
        self._use(match.path)

    def mark(self, match: Match[HeldSpan, HeldMark], position: int, mark: HeldMark) -> None:
        """Hold something for a position on the way of a match, if nothing is held there."""
        for node in match.path:
            if node.start < position <= node.end and position not in node.marks:
                node.marks[position] = mark
                self.num_bytes += mark.num_bytes

    def shrink(self, num_bytes: int) -> None:
        """Let go of what was not used for the longest time until at most so much is held."""
        while self.num_bytes > num_bytes and self._by_use:
            self._drop(next(node for node in self._by_use.values() if not node.children))

    def _root(self, salt: str) -> Node[HeldSpan, HeldMark]:
        if salt not in self._roots:
            self._roots[salt] = Node(None, (), None)
        return self._roots[salt]

    def _use(self, path: Sequence[Node[HeldSpan, HeldMark]]) -> None:
        """Note what was used, ends first, so that an end is never newer than what leads to it."""
        for node in reversed(path):
            self._by_use[id(node)] = node
            self._by_use.move_to_end(id(node))

    def _split(self, node: Node[HeldSpan, HeldMark], num_tokens: int) -> Node[HeldSpan, HeldMark]:
        """Cut a node in two; return the first part, which takes its place."""
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
        self._use([upper, node])
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
    """How many tokens two sequences begin with together."""
    length = min(len(one), len(other))
    if tuple(one[:length]) == tuple(other[:length]):
        return length
    return next(i for i in range(length) if one[i] != other[i])
