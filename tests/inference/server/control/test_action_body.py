import json

import pytest
from concordance_inference.server.control.action_body import BacktrackBody, decode_action
from concordance_shared import InvalidRequestError


def decoded(**fields):
    return decode_action(json.dumps(fields).encode())


def test_an_action_is_decoded_by_its_type():
    assert decoded(type="backtrack", num_tokens=2) == BacktrackBody(num_tokens=2)


@pytest.mark.parametrize("fields", [{}, {"type": "Pause"}, {"type": 3}, {"action": "pause"}])
def test_a_type_that_is_wrong_or_missing_is_refused_with_the_list_of_types(fields):
    with pytest.raises(InvalidRequestError, match="force, backtrack, output") as refused:
        decoded(**fields)

    assert refused.value.param == "type"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"type": "force"}, "text"),
        ({"type": "force", "text": "a", "token_ids": [1]}, "text"),
        ({"type": "backtrack"}, "num_tokens"),
        ({"type": "adjust"}, "type"),
        ({"type": "step", "num_tokens": -1}, "num_tokens"),
    ],
)
def test_fields_that_do_not_fit_together_are_refused(fields, param):
    with pytest.raises(InvalidRequestError) as refused:
        decoded(**fields)

    assert refused.value.param == param
