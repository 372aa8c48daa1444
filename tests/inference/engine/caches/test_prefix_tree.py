"""The radix tree of the prefix cache: matching, splitting, eviction. No arrays."""

import pytest
from concordance_inference.engine.caches.prefix_tree import PrefixTree, num_common
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct


class Text(Struct):
    """A span that holds its own tokens, a byte each."""

    token_ids: tuple

    @property
    def num_bytes(self):
        return len(self.token_ids)

    def split(self, num_tokens):
        return Text(self.token_ids[:num_tokens]), Text(self.token_ids[num_tokens:])


class Mark(Struct):
    """A mark of `num_bytes` bytes."""

    num_bytes: int = 1


def add(tree, token_ids, salt="", marks=()):
    token_ids = tuple(token_ids)
    match = tree.match(salt, token_ids)
    tree.use(match)
    if tree.add(salt, token_ids, match):
        tree.put(salt, token_ids, match, Text(token_ids[match.length :]))
    for position in marks:
        tree.mark(match, position, Mark())


def held(tree, token_ids, salt=""):
    """What is held for the longest prefix."""
    match = tree.match(salt, tuple(token_ids))
    spans = match.spans(match.length)
    return b"".join(bytes(span.token_ids)[: match.length - start] for start, span in spans)


def test_the_longest_prefix_is_found():
    tree = PrefixTree()
    for text in (b"a long story", b"a long way", b"a short one"):
        add(tree, text)

    assert held(tree, b"a long standing") == b"a long st"
    assert held(tree, b"a longing") == b"a long"
    assert held(tree, b"nothing of it") == b""


def test_a_shared_prefix_is_held_once():
    tree = PrefixTree()
    add(tree, b"a long story")
    add(tree, b"a long way")

    assert tree.num_bytes == len(b"a long story") + len(b"way")


def test_a_prefix_that_is_held_adds_nothing():
    tree = PrefixTree()
    for text in (b"a long story", b"a long", b"a long story"):
        add(tree, text)

    assert tree.num_bytes == len(b"a long story")
    assert held(tree, b"a long story") == b"a long story"


def test_prefixes_of_one_salt_are_invisible_to_another():
    tree = PrefixTree()
    add(tree, b"secret", salt="alice")

    assert held(tree, b"secret", salt="bob") == b""
    assert held(tree, b"secret", salt="alice") == b"secret"


@pytest.mark.parametrize(
    ("used", "evicted"), [(True, b"two"), (False, b"one")], ids=["used", "only matched"]
)
def test_the_least_recently_used_prefix_is_evicted_first(used, evicted):
    tree = PrefixTree()
    for text in (b"one", b"two", b"six"):
        add(tree, text)
    match = tree.match("", b"one")
    if used:
        tree.use(match)
    tree.shrink(6)

    left = {text for text in (b"one", b"two", b"six") if held(tree, text)}
    assert left == {b"one", b"two", b"six"} - {evicted}


def test_using_an_evicted_prefix_changes_nothing():
    tree = PrefixTree()
    add(tree, b"one")
    match = tree.match("", b"one")
    tree.shrink(0)
    tree.use(match)

    assert (len(tree), held(tree, b"one")) == (0, b"")


def test_leaves_are_evicted_before_their_parents():
    tree = PrefixTree()
    add(tree, b"shared end")
    add(tree, b"shared tail")
    tree.shrink(len(b"shared tail"))

    assert held(tree, b"shared tail") == b"shared tail"
    assert held(tree, b"shared end") == b"shared "


def test_shrinking_to_zero_evicts_everything():
    tree = PrefixTree()
    for salt in ("a", "b"):
        add(tree, b"something", salt=salt, marks=[4])
    tree.shrink(0)

    assert (tree.num_bytes, len(tree), tree._roots) == (0, 0, {})


def test_marks_are_found_on_the_path_and_on_the_spans_that_follow():
    tree = PrefixTree()
    add(tree, b"a long story", marks=[2, 8])
    add(tree, b"a long way", marks=[9])

    assert sorted(tree.match("", b"a long story").marks()) == [2, 8]
    assert sorted(tree.match("", b"a long storyteller").marks()) == [2, 8]
    assert sorted(tree.match("", b"a long ").marks()) == [2, 8, 9]


def test_marks_are_counted_and_evicted_with_their_span():
    tree = PrefixTree()
    add(tree, b"abc", marks=[2, 3])
    assert tree.num_bytes == 5

    tree.shrink(4)
    assert tree.num_bytes == 0


@pytest.mark.parametrize(
    ("one", "other", "common"), [("", "a", 0), ("ab", "ab", 2), ("abc", "abd", 2), ("abc", "ab", 2)]
)
def test_the_length_of_a_common_prefix(one, other, common):
    assert num_common(one, other) == common


words = st.lists(st.text("ab", min_size=1, max_size=8), max_size=12)


@given(words=words, limits=st.lists(st.integers(0, 40), min_size=1))
def test_the_bytes_held_are_counted_and_bounded(words, limits):
    tree = PrefixTree()
    for i, word in enumerate(words):
        add(tree, word.encode(), salt=word[0], marks=[len(word)])
        tree.shrink(limits[i % len(limits)])

        assert tree.num_bytes <= limits[i % len(limits)]
        assert tree.num_bytes == sum(node.num_bytes for node in tree._by_use.values())
        for other in words:
            found = held(tree, other.encode(), salt=other[0])
            assert other.encode().startswith(found)
