"""The one place that decides whether a prompt is too long."""

import pytest
from concordance_shared import ContextLengthError
from concordance_shared.prompt_length import check_prompt_length


@pytest.mark.parametrize("num_tokens", [0, 9])
def test_a_prompt_that_leaves_room_for_one_token_is_accepted(num_tokens):
    check_prompt_length(num_tokens, 10)


@pytest.mark.parametrize("num_tokens", [10, 11])
def test_a_prompt_that_leaves_no_room_is_rejected_with_its_length_the_limit_and_a_remedy(
    num_tokens,
):
    with pytest.raises(ContextLengthError) as caught:
        check_prompt_length(
            num_tokens, 10, limit_of="memory", param="messages", remedy="drop the oldest"
        )

    assert str(caught.value) == (
        f"messages: {num_tokens} tokens leave no room for a completion in memory of 10 tokens; "
        "drop the oldest"
    )
    assert (caught.value.param, caught.value.status_code) == ("messages", 400)
