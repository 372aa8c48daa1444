"""Where a phrase ends, whatever the borders of tokens."""

import pytest
from concordance_sdk.constraints.phrase import PhraseEnd, PhraseFinder
from concordance_sdk.testing import ByteTokenizer
from vocabularies import smollm


class Pieces(ByteTokenizer):
    """Tokens are any pieces of text: id i is the i-th one."""

    def __init__(self, *pieces):
        self.pieces = pieces

    def token_bytes(self, token_id):
        piece = self.pieces[token_id]
        return piece if isinstance(piece, bytes) else piece.encode()


@pytest.mark.parametrize(
    ("pieces", "found"),
    [
        (["the answer:", " yes"], PhraseEnd(1)),
        (["the ans", "wer", ":", " yes"], PhraseEnd(3)),
        (["the answer: y", "es"], PhraseEnd(0, b"the answer:")),
        (["the ", "answer", ": yes"], PhraseEnd(2, b":")),
        (["no", "thing"], None),
        ([b"\xc3", b"\xa9 answer: y"], PhraseEnd(0, "é answer:".encode())),
    ],
)
def test_it_is_found_and_a_token_that_goes_on_behind_it_is_split(pieces, found):
    tokenizer = Pieces(*pieces)
    at_once = PhraseFinder("answer:").follow(0, list(range(len(pieces))), tokenizer)
    finder = PhraseFinder("answer:")
    one_by_one = [finder.follow(i, [i], tokenizer) for i in range(len(pieces))]

    assert at_once == found
    assert [end for end in one_by_one if end] == [found] * (found is not None)


def test_what_was_taken_back_is_forgotten():
    finder, tokenizer = PhraseFinder("ab"), ByteTokenizer()
    finder.follow(0, b"xa", tokenizer)

    assert finder.follow(1, b"b", tokenizer) is None
    assert finder.follow(1, b"ab", tokenizer) == PhraseEnd(3)


def test_tokens_that_nobody_told_of_end_what_came_before():
    finder, tokenizer = PhraseFinder("ab"), ByteTokenizer()
    finder.follow(0, b"a", tokenizer)

    assert finder.follow(4, b"b", tokenizer) is None
    assert finder.follow(5, b"ab", tokenizer) == PhraseEnd(7)


def test_special_tokens_count_by_their_names():
    tokenizer = smollm()
    token_ids = tokenizer.encode("so<|im_end|>")

    assert PhraseFinder("<|im_end|>").follow(0, token_ids, tokenizer) == PhraseEnd(2)
