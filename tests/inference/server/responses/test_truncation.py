import pytest
from concordance_inference.generation import GenerationRequest
from concordance_inference.server.responses.items import (
    FunctionCallItem,
    FunctionOutputItem,
    InputText,
    MessageItem,
)
from concordance_inference.server.responses.truncation import shortened
from concordance_shared import ContextLengthError


def message(role, text="x" * 10):
    return MessageItem(id="msg", role=role, content=(InputText(text),))


TURN = (
    message("user"),
    FunctionCallItem(id="fc", call_id="c", name="f", arguments="x" * 10),
    FunctionOutputItem(id="fco", call_id="c", output="x" * 10),
    message("assistant"),
)
CONVERSATION = (message("system"), *TURN * 10, message("user"))


def size(item):
    return 10


class Builder:
    """Makes requests of ten tokens an item, and counts them."""

    def __init__(self, limit=10_000):
        self.limit = limit
        self.num_built = 0

    def __call__(self, items):
        self.items = items
        self.num_built += 1
        if len(items) * 10 >= self.limit:
            raise ContextLengthError("too long", param="messages")
        ids = tuple(range(len(items) * 10))
        return GenerationRequest(request_id=f"r{self.num_built}", prompt_ids=ids)


def test_a_conversation_that_fits_is_whole_and_rendered_once():
    build = Builder()
    num_dropped, request = shortened(CONVERSATION, build, 9_999, size)

    assert (num_dropped, len(request.prompt_ids), build.num_built) == (0, 420, 1)


@pytest.mark.parametrize("context", [100, 150, 200, 300, 419, 420, 421])
def test_blocks_of_the_oldest_turns_are_dropped_and_the_system_message_remains(context):
    num_dropped, request = shortened(CONVERSATION, Builder(context), context - 1, size)

    assert num_dropped % 4 == 0
    assert len(request.prompt_ids) == 420 - 10 * num_dropped
    assert len(request.prompt_ids) < context <= len(request.prompt_ids) + context // 4 + 40


def test_a_last_turn_that_does_not_fit_is_refused():
    with pytest.raises(ContextLengthError):
        shortened(CONVERSATION, Builder(15), 14, size)


def test_the_request_has_the_id_of_the_first_one_made():
    assert shortened(CONVERSATION, Builder(), 299, size)[1].request_id == "r1"
