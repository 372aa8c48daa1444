"""Finds the format of a model's tool calls from its chat template and vocabulary."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import TemplateError, meta
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from concordance_inference.chat.written_template import Generation
from concordance_inference.tools.layout import Layout
from concordance_inference.tools.layouts import LAYOUTS
from concordance_inference.tools.tool_format import GENERIC, ToolFormat


def tool_format_of(
    template: str, special: Mapping[str, int], config: str | None = None
) -> ToolFormat:
    """Return the format that a model's chat template and vocabulary speak.

    Args:
        template: The source of the chat template.
        special: The special tokens by name, without those that end a completion.
        config: The parser that the tokenizer's configuration names, as converted models do.
    """
    vocabulary = frozenset(special)
    name = _named(config, template) or _in_template(template) or _in_vocabulary(vocabulary)
    if name is None or not reads_tools(template):
        return GENERIC
    layout = LAYOUTS[name]
    return ToolFormat(name=name, layout=layout, special=_special_in(layout, special))


def reads_tools(template: str) -> bool:
    """True if a chat template renders the variable `tools`."""
    environment = ImmutableSandboxedEnvironment(extensions=[Generation, loopcontrols])
    try:
        return "tools" in meta.find_undeclared_variables(environment.parse(template))
    except TemplateError:
        return False


def _named(config: str | None, template: str) -> str | None:
    if config in ("mistral", "glm47", "laguna"):  # several layouts have this name
        return None if config != "laguna" else _glm(template)
    return config if config in LAYOUTS else None


def _in_template(template: str) -> str | None:
    """The layout that the texts of a template show."""
    for name, texts in _SIGNS:
        if all(text in template for text in texts):
            return name if isinstance(name, str) else name(template)
    return "llama3_json" if _LLAMA.search(template) else None


def _in_vocabulary(names: frozenset[str]) -> str | None:
    if names.issuperset(("<|open|>", "<|close|>", "<|sep|>", "<|end_of_msg|>")):
        return "kimi_k3"
    if names.issuperset(("<|tool_call_start|>", "<|tool_call_end|>")):
        return "pythonic"
    return None


def _glm(template: str) -> str:
    has_lines = re.search(r"</arg_key>(\\n|\n)", template)
    return "glm45" if has_lines else "glm47"


def _mistral(template: str) -> str:
    if "[ARGS]" in template:
        return "mistral_call_id" if "[CALL_ID]" in template else "mistral"
    return "mistral_spaced_list" if "[TOOL_CALLS] [" in template else "mistral_list"


def _special_in(layout: Layout, special: Mapping[str, int]) -> dict[str, int]:
    return {name: i for name, i in special.items() if name and any(name in t for t in layout.texts)}


def special_tokens(tokenizer: Any) -> dict[str, int]:
    """The special tokens of a tokenizer by name, without those that end a completion."""
    added: Mapping[int, Any] = tokenizer.hf.added_tokens_decoder
    return {
        str(token.content): token_id
        for token_id, token in added.items()
        if token_id in tokenizer.special_token_ids and token_id not in tokenizer.eos_token_ids
    }


#: Layouts, and texts that only their templates have; the checks are mlx-lm's, in its order.
_SIGNS: tuple[tuple[str | Callable[[str], str], tuple[str, ...]], ...] = (
    ("minimax_m2", ("<minimax:tool_call>",)),
    ("gemma4", ("<|tool_call>", "<tool_call|>")),
    ("function_gemma", ("<start_function_call>",)),
    ("longcat", ("<longcat_tool_call>",)),
    (_glm, ("<arg_key>",)),
    ("pythonic", ("<|tool_list_start|>",)),
    ("pythonic", ("<|tool_call_start|>",)),
    ("qwen3_coder", ("<tool_call>\\n<function=",)),
    ("qwen3_coder", ("<tool_call>\n<function=",)),
    ("kimi_k2", ("<|tool_calls_section_begin|>",)),
    ("minicpm5", ('<function name="', '<param name="')),
    (_mistral, ("[TOOL_CALLS]",)),
    ("muse_spark", ("<atem:function_calls>",)),
    ("json_tools", ("<tool_call>", "</tool_call>")),
    ("deepseek_v3", (LAYOUTS["deepseek_v3"].marker, "```json")),
    ("deepseek_v31", (LAYOUTS["deepseek_v31"].marker,)),
)

#: What Llama's templates tell the model.
_LLAMA = re.compile(r'\{\\?"name\\?": function name')
