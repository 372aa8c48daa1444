"""Objects that keep the state of one request, shared by two."""

import pytest
from concordance_sdk import ModRaisedError, mod
from concordance_sdk.constraints import Constrained, Regex
from concordance_sdk.testing import play
from concordance_sdk.text import CompletionText, PhraseBan


class Text:
    """A part that follows the completion."""

    def __init__(self):
        self.text = CompletionText()

    def added(self, event, actions, tokenizer):
        self.text.follow(event, tokenizer)


@pytest.mark.parametrize(
    ("part", "name"),
    [
        (PhraseBan(["cat"]), "PhraseBan"),
        (Constrained(Regex("[a-z]{3}")), "Constrained"),
        (Text(), "CompletionText"),
    ],
)
def test_a_part_shared_by_two_requests_is_an_error_that_names_the_sharing(part, name):
    @mod(registered=False)
    class Shared:
        def parts(self):
            return [part]

    play(Shared, says="dog")
    with pytest.raises(
        ModRaisedError, match=f"this {name} is shared by several requests"
    ) as shared:
        play(Shared, says="dog")

    assert "make a new one for each request, in `parts` or `__init__`" in shared.value.message


def test_a_part_made_for_each_request_is_not_shared():
    @mod(registered=False)
    class Own:
        def parts(self):
            return [PhraseBan(["cat"])]

    assert [play(Own, says="dog").text for _ in "ab"] == ["dog", "dog"]
