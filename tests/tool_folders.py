"""Tiny random models whose chat templates speak a format of tool calls."""

import json

from concordance_inference.tools.layouts import LAYOUTS
from tiny_folder import write_tiny_folder

TOOLS = "{% if tools %}{{ tools | tojson }}{% endif %}"


def messages(name):
    """Return a template of messages, which writes JSON calls as the model of a format does."""
    layout = LAYOUTS.get(name, LAYOUTS["json_tools"])
    opening, again = layout.marker + layout.head, layout.again or ""
    return (
        "{% for m in messages %}{{ m.role[0] }}:{{ m.content }}"
        "{% for c in m.tool_calls or [] %}"
        f"{{{{ {opening!r} if loop.first else {again!r} }}}}{{{{ c.function.name }}}}"
        f"{{{{ {layout.after_name!r} }}}}{{{{ c.function.arguments | tojson }}}}"
        f"{{{{ {layout.tail!r} }}}}{{{{ {layout.close!r} if loop.last }}}}"
        "{% endfor %}|{% endfor %}"
        "{% if add_generation_prompt %}a:{% endif %}"
    )


#: Texts by which a template shows its format.
SIGNS = {
    "json_tools": "<tool_call> </tool_call>",
    "llama3_json": '{"name": function name',
    "mistral_list": "[TOOL_CALLS]",
    "mistral_spaced_list": "[TOOL_CALLS] [",
    "mistral": "[TOOL_CALLS] [ARGS]",
    "mistral_call_id": "[TOOL_CALLS] [CALL_ID] [ARGS]",
    "kimi_k2": "<|tool_calls_section_begin|>",
    "deepseek_v3": LAYOUTS["deepseek_v3"].marker + "```json",
    "deepseek_v31": LAYOUTS["deepseek_v31"].marker,
    "qwen3_coder": "<tool_call>\n<function=",
    "minimax_m2": "<minimax:tool_call>",
    "glm45": "<arg_key></arg_key>\n",
    "glm47": "<arg_key></arg_key>",
    "longcat": "<longcat_tool_call>",
    "minicpm5": '<function name="<param name="',
    "muse_spark": "<atem:function_calls>",
    "function_gemma": "<start_function_call>",
    "gemma4": "<|tool_call> <tool_call|>",
    "pythonic": "<|tool_call_start|>",
}

#: Tokens of the vocabularies of models with these formats; true if they are special.
TOKENS = {
    "json_tools": {"<tool_call>": False, "</tool_call>": False},
    "mistral": {"[TOOL_CALLS]": True, "[ARGS]": True},
    "mistral_list": {"[TOOL_CALLS]": True},
    "mistral_call_id": {"[TOOL_CALLS]": True, "[ARGS]": True, "[CALL_ID]": True},
    "kimi_k2": {
        "<|tool_calls_section_begin|>": True,
        "<|tool_calls_section_end|>": True,
        "<|tool_call_begin|>": True,
        "<|tool_call_argument_begin|>": True,
        "<|tool_call_end|>": True,
    },
    "kimi_k3": dict.fromkeys(("<|open|>", "<|close|>", "<|sep|>", "<|end_of_msg|>"), True),
    "glm45": {"<tool_call>": False, "<arg_key>": False, "</arg_value>": False},
    "function_gemma": {"<start_function_call>": False, "<escape>": True},
    "gemma4": {"<|tool_call>": True, "<tool_call|>": True, '<|"|>': True},
    "pythonic": {"<|tool_call_start|>": True, "<|tool_call_end|>": True},
}


def write_tool_folder(folder, name=None, *, context=4096):
    """Write a model with the template and the vocabulary of a format; `None` for no tools."""
    path = write_tiny_folder(folder) / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    vocab = tokenizer["model"]["vocab"]
    unused = [chr(0xC0), chr(0xC1), *map(chr, range(0xF5, 0x100))]
    for (token, is_special), char in zip(TOKENS.get(name, {}).items(), unused, strict=False):
        token_id = vocab[token] = vocab.pop(char)
        tokenizer["added_tokens"].append(
            {
                **tokenizer["added_tokens"][0],
                "id": token_id,
                "content": token,
                "special": is_special,
            }
        )
    path.write_text(json.dumps(tokenizer))
    template = messages(name)
    if name is not None:
        template = TOOLS + template + "{# " + SIGNS.get(name, "") + " #}"
    _update(folder / "tokenizer_config.json", chat_template=template)
    _update(folder / "config.json", max_position_embeddings=context)
    return folder


def _update(path, **fields):
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


#: Each byte is a token, also those of tags: a completion can be cut within a tag.
BYTES = TOOLS + messages("json_tools") + "{# <tool_call> </tool_call> <think> </think> #}"


def write_byte_folder(folder):
    """Write a tiny model of 2,048 positions whose template has tools and reasoning."""
    write_tiny_folder(folder)
    _update(folder / "config.json", max_position_embeddings=2048)
    _update(folder / "tokenizer_config.json", chat_template=BYTES)
    return folder
