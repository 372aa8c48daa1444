import pytest
from concordance_inference.server.responses.token_logprobs import tokens_of


@pytest.mark.parametrize(
    ("text", "tokens", "found"),
    [
        ("ab", [b"a", b"b"], (0, 2)),
        ("t", [b"</think>", b"t", b"<eos>"], (1, 2)),
        ("hm", [b"<", b"think", b">", b"hm"], (3, 4)),
        ("ab", [b"\n\na", b"b", b"c"], (0, 2)),
        ("ä", ["ä".encode()[:1], "ä".encode()[1:]], (0, 2)),
        ("other", [b"a", b"b"], (0, 2)),
        ("a", [], (0, 0)),
    ],
)
def test_the_tokens_of_a_text_are_found_among_those_of_tags(text, tokens, found):
    assert tokens_of(text, tokens) == found
