import pytest
from concordance_inference.server.openai.text_lists import listed
from concordance_shared import InvalidRequestError


@pytest.mark.parametrize(
    ("given", "texts"),
    [("a", ["a"]), ([1, 2], [[1, 2]]), (["a", [1]], ["a", [1]]), ([[1], [2]], [[1], [2]])],
)
def test_a_text_or_a_list_of_ids_is_one_and_a_list_of_either_is_several(given, texts):
    assert listed(given, field="prompt", each="prompts", most=2) == texts


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "prompt: give a text"),
        ([1, "a"], "prompt: give a text"),
        (["a", "b", "c"], "prompt has 3 prompts; the limit is 2"),
    ],
)
def test_an_empty_a_mixed_or_a_long_list_is_refused_by_the_name_of_its_field(given, message):
    with pytest.raises(InvalidRequestError, match=message) as refused:
        listed(given, field="prompt", each="prompts", most=2)

    assert refused.value.param == "prompt"
