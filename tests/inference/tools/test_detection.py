"""The format of a model's tool calls, found from its chat template and vocabulary."""

import pytest
from concordance_inference.tools.detection import reads_tools, special_tokens, tool_format_of
from mlx_lm.tokenizer_utils import _infer_tool_parser
from tool_folders import SIGNS, TOKENS

#: Formats to which mlx-lm gives another name, or which it does not know.
OTHER_NAMES = {
    "mistral_list": "mistral",
    "mistral_spaced_list": "mistral",
    "mistral_call_id": "mistral",
    "glm45": "glm47",
    "llama3_json": None,
    "deepseek_v3": None,
    "deepseek_v31": None,
}


class Given:
    def __init__(self, template, vocabulary=()):
        self.chat_template = template
        self.get_vocab = lambda: dict.fromkeys(vocabulary, 1)


def template_of(name):
    return "{% if tools %}tool_call.name{% endif %}{# " + SIGNS[name] + " #}"


@pytest.mark.parametrize("name", SIGNS)
def test_a_format_is_found_in_a_template_as_mlx_lm_finds_it(name):
    template = template_of(name)

    assert tool_format_of(template, {}).name == name
    assert _infer_tool_parser(Given(template)) == OTHER_NAMES.get(name, name)


@pytest.mark.parametrize("name", ["kimi_k3", "pythonic"])
def test_a_format_is_found_in_a_vocabulary(name):
    special = dict.fromkeys(TOKENS[name], 1)

    assert tool_format_of("{{ tools }}", special).name == name
    assert _infer_tool_parser(Given("{{ tools }}", special)) == name


@pytest.mark.parametrize(
    "template", ["", "{{ messages }}", "{{ messages }}<tool_call></tool_call>", "{{ tools }}", "{%"]
)
def test_a_model_without_tools_or_with_unknown_calls_has_the_generic_format(template):
    found = tool_format_of(template, {})

    assert found.is_generic
    assert found.layout.marker == "<tool_call>"


def test_the_configuration_names_a_format():
    template = "{{ tools }}<arg_key></arg_key>"

    assert tool_format_of("{{ tools }}", {}, "pythonic").name == "pythonic"
    assert tool_format_of(template, {}, "laguna").name == "glm47"
    assert tool_format_of(template, {}, "glm47").name == "glm47"
    assert tool_format_of("{{ tools }}", {}, "unheard of").is_generic


def test_special_tokens_of_a_format_are_kept_and_others_are_not():
    special = {"[TOOL_CALLS]": 5, "[ARGS]": 9, "<unk>": 0}
    found = tool_format_of("{{ tools }}[TOOL_CALLS][ARGS]", special)

    assert found.special == {"[TOOL_CALLS]": 5, "[ARGS]": 9}


def test_tokens_that_end_a_completion_are_no_markers():
    class Token:
        def __init__(self, content):
            self.content = content

    class Tokenizer:
        special_token_ids = frozenset({1, 2})
        eos_token_ids = frozenset({2})

        class hf:  # noqa: N801  # as the tokenizer names it
            added_tokens_decoder = {1: Token("<a>"), 2: Token("<end>"), 3: Token("<b>")}  # noqa: RUF012

    assert special_tokens(Tokenizer) == {"<a>": 1}


def test_a_template_reads_tools_where_it_names_the_variable():
    assert reads_tools("{% if tools is defined %}{{ tools }}{% endif %}")
    assert not reads_tools("{% set tools = 1 %}{{ tools }}")
