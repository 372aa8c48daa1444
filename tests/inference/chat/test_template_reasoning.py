"""The reasoning of earlier messages in chat templates."""

import pytest
from concordance_inference.chat.template_reasoning import reasoning_names, with_reasoning

SAID = {"role": "assistant", "content": "4", "reasoning_content": "so"}


@pytest.mark.parametrize(
    ("template", "names"),
    [
        ("{{ message.reasoning_content }}{{ message.reasoning }}", ()),
        ("{% if message.thinking is defined %}", ("thinking",)),
        ("{{ m['reasoning'] }}", ("reasoning",)),
        ('{{ m.get("thinking") }}', ("thinking",)),
        ("{{ enable_thinking }}{{ reasoning_effort }}", ()),
    ],
)
def test_the_name_that_a_template_reads_is_found(template, names):
    assert reasoning_names(template) == names


def test_the_reasoning_has_the_name_too():
    [[first, second]] = with_reasoning([[{"role": "user", "content": "hi"}, SAID]], ("thinking",))

    assert first == {"role": "user", "content": "hi"}
    assert second == {**SAID, "thinking": "so"}
    assert list(with_reasoning([[SAID]], ())) == [[SAID]]


def test_a_call_with_content_keeps_its_reasoning_under_the_usual_name_only():
    calling = {**SAID, "tool_calls": [{}]}

    assert list(with_reasoning([[calling]], ("thinking",))) == [[calling]]
    assert "thinking" in next(with_reasoning([[{**calling, "content": ""}]], ("thinking",)))[0]
