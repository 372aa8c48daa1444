"""The reasoning of a model in the Python API, on a tiny random model with tags for it."""

import pytest
from concordance_inference import LLM
from concordance_shared import InvalidRequestError
from tiny_folder import TEMPLATE, write_thinking_folder

THINKING = TEMPLATE.replace("a:{%", "a:<think>{%")
OPTIONS = {"seed": 1, "temperature": 1.0, "max_tokens": 30, "ignore_eos": True}


@pytest.fixture(scope="module", name="llm")
def _llm(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "model"
    with LLM(write_thinking_folder(folder, template=THINKING)) as llm:
        yield llm


def forced(completion):
    return [token.forced_by for token in completion.tokens if token.forced]


@pytest.mark.parametrize("prompts", ["hi", ["hi", "hi"]])
def test_a_budget_ends_the_reasoning_alone_and_in_a_batch(llm, prompts):
    free = llm.chat("hi", **OPTIONS)
    limited = llm.chat(prompts, thinking_token_budget=5, **OPTIONS)

    assert free.usage.reasoning_tokens > 5
    for completion in limited if isinstance(prompts, list) else [limited]:
        assert completion.usage.reasoning_tokens == 5
        assert completion.token_ids[:5] == free.token_ids[:5]
        assert forced(completion) == ["reasoning_budget"]


def test_a_completion_has_its_reasoning_and_its_content_apart(llm):
    completion = llm.chat("hi", thinking_token_budget=5, **OPTIONS)

    assert completion.reasoning
    assert completion.reasoning in completion.text
    assert completion.text.endswith(f"</think>{completion.content}")


def test_no_effort_ends_the_reasoning_at_once(llm):
    completion = llm.chat("hi", reasoning_effort="none", **OPTIONS)

    assert completion.usage.reasoning_tokens == 0
    assert completion.tokens[0].forced_by == "reasoning_budget"


@pytest.mark.parametrize("options", [{}, {"thinking_token_budget": -1}, {"reasoning_effort": None}])
def test_without_a_limit_the_model_reasons_as_long_as_it_likes(llm, options):
    completion = llm.chat("hi", **OPTIONS, **options)

    assert forced(completion) == []


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"thinking_token_budget": -2}, "thinking_token_budget"),
        ({"thinking_token_budget": "many"}, "thinking_token_budget"),
        ({"reasoning_effort": ""}, "reasoning_effort"),
        ({"reasoning_effort": 3}, "reasoning_effort"),
    ],
)
def test_a_wrong_limit_is_refused_by_name(llm, options, param):
    with pytest.raises(InvalidRequestError, match=param) as caught:
        llm.chat("hi", **options)

    assert caught.value.param == param


def test_an_effort_needs_messages_which_a_template_renders(llm):
    with pytest.raises(InvalidRequestError, match="give messages") as caught:
        llm.generate("hi", reasoning_effort="none")

    assert caught.value.param == "reasoning_effort"


def test_a_budget_holds_for_text_that_opens_the_reasoning(llm):
    completion = llm.generate("u:hi|a:<think>", thinking_token_budget=4, **OPTIONS)

    assert completion.usage.reasoning_tokens == 4
