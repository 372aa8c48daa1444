"""The layouts of tool calls, by the names that mlx-lm gives its parsers, and ours."""

from concordance_sdk.constraints.schema.keyed import KeyedSpelling

from concordance_inference.tools.layout import IdLayout, Layout


def _wide(text: str) -> str:
    """A text with the wide bars of DeepSeek's tokens."""
    return text.replace("|", "\uff5c")


#: Hermes and Qwen; also the generic format.
JSON_TOOLS = Layout(
    marker="<tool_call>",
    head='\n{"name": "',
    after_name='", "arguments": ',
    tail="}\n</tool_call>",
    again='\n<tool_call>\n{"name": "',
)

LLAMA = Layout(
    marker='{"name": "',
    after_name='", "parameters": ',
    tail="}",
    again=None,
    at_start=True,
)

MISTRAL_LIST = Layout(
    marker="[TOOL_CALLS]",
    head='[{"name": "',
    after_name='", "arguments": ',
    tail="}",
    again=', {"name": "',
    close="]",
)

MISTRAL_SPACED_LIST = Layout(
    marker="[TOOL_CALLS]",
    head=' [{"name": "',
    after_name='", "arguments": ',
    tail="}",
    again=', {"name": "',
    close="]",
)

MISTRAL_ARGS = Layout(marker="[TOOL_CALLS]", after_name="[ARGS]", tail="", again="[TOOL_CALLS]")

MISTRAL_ID_ARGS = Layout(
    marker="[TOOL_CALLS]",
    id=IdLayout(before="[CALL_ID]", pattern="[A-Za-z0-9]{9}", longest=9),
    after_name="[ARGS]",
    tail="",
    again="[TOOL_CALLS]",
)

KIMI_K2 = Layout(
    marker="<|tool_calls_section_begin|>",
    head="<|tool_call_begin|>functions.",
    id=IdLayout(before=":", pattern="0|[1-9][0-9]{0,3}", longest=4, is_whole=True),
    after_name="<|tool_call_argument_begin|>",
    tail="<|tool_call_end|>",
    again="<|tool_call_begin|>functions.",
    close="<|tool_calls_section_end|>",
)

KIMI_K3 = Layout(
    marker="<|open|>tools<|sep|>",
    head='<|open|>call tool="',
    id=IdLayout(before='" index="', pattern="[1-9][0-9]{0,3}", longest=4),
    after_name='"<|sep|><|open|>json type="object"<|sep|>',
    tail="<|close|>json<|sep|><|close|>call<|sep|>",
    again='<|open|>call tool="',
    close="<|close|>tools<|sep|>",
)

DEEPSEEK_V3 = Layout(
    marker=_wide("<|tool▁calls▁begin|>"),
    head=_wide("<|tool▁call▁begin|>function<|tool▁sep|>"),
    after_name="\n```json\n",
    tail=_wide("\n```<|tool▁call▁end|>"),
    again=_wide("\n<|tool▁call▁begin|>function<|tool▁sep|>"),
    close=_wide("<|tool▁calls▁end|>"),
)

DEEPSEEK_V31 = Layout(
    marker=_wide("<|tool▁calls▁begin|>"),
    head=_wide("<|tool▁call▁begin|>"),
    after_name=_wide("<|tool▁sep|>"),
    tail=_wide("<|tool▁call▁end|>"),
    again=_wide("<|tool▁call▁begin|>"),
    close=_wide("<|tool▁calls▁end|>"),
)

QWEN3_CODER = Layout(
    marker="<tool_call>",
    head="\n<function=",
    after_name=">\n",
    keyed=KeyedSpelling(before_key="<parameter=", after_key=">\n", after_value="\n</parameter>\n"),
    tail="</function>\n</tool_call>",
    again="\n<tool_call>\n<function=",
)

MINIMAX_M2 = Layout(
    marker="<minimax:tool_call>",
    head='\n<invoke name="',
    after_name='">\n',
    keyed=KeyedSpelling(
        before_key='<parameter name="', after_key='">', after_value="</parameter>\n"
    ),
    tail="</invoke>\n",
    again='<invoke name="',
    close="</minimax:tool_call>",
)

GLM45 = Layout(
    marker="<tool_call>",
    after_name="\n",
    keyed=KeyedSpelling(
        before_key="<arg_key>",
        after_key="</arg_key>\n<arg_value>",
        after_value="</arg_value>\n",
    ),
    tail="</tool_call>",
    again="\n<tool_call>",
)

GLM47 = Layout(
    marker="<tool_call>",
    after_name="",
    keyed=KeyedSpelling(
        before_key="<arg_key>", after_key="</arg_key><arg_value>", after_value="</arg_value>"
    ),
    tail="</tool_call>",
    again="<tool_call>",
)

LONGCAT = Layout(
    marker="<longcat_tool_call>",
    after_name="\n",
    keyed=KeyedSpelling(
        before_key="<longcat_arg_key>",
        after_key="</longcat_arg_key>\n<longcat_arg_value>",
        after_value="</longcat_arg_value>\n",
    ),
    tail="</longcat_tool_call>",
    again="\n<longcat_tool_call>",
)

MINICPM5 = Layout(
    marker='<function name="',
    after_name='">',
    keyed=KeyedSpelling(before_key='<param name="', after_key='">', after_value="</param>"),
    tail="</function>",
    again='\n<function name="',
)

MUSE_SPARK = Layout(
    marker="<atem:function_calls>",
    head='\n<atem:invoke name="',
    after_name='">\n',
    keyed=KeyedSpelling(
        before_key='<atem:parameter name="', after_key='">', after_value="</atem:parameter>\n"
    ),
    tail="</atem:invoke>\n",
    again='<atem:invoke name="',
    close="</atem:function_calls>",
)

FUNCTION_GEMMA = Layout(
    marker="<start_function_call>",
    head="call:",
    after_name="{",
    keyed=KeyedSpelling(after_key=":", quote="<escape>", separator=","),
    tail="}<end_function_call>",
    again="<start_function_call>call:",
)

GEMMA4 = Layout(
    marker="<|tool_call>",
    head="call:",
    after_name="{",
    keyed=KeyedSpelling(after_key=":", quote='<|"|>', separator=","),
    tail="}<tool_call|>",
    again="<|tool_call>call:",
)

PYTHONIC = Layout(
    marker="<|tool_call_start|>",
    head="[",
    after_name="(",
    keyed=KeyedSpelling(after_key="=", quote=None, separator=", ", has_python_literals=True),
    tail=")",
    again=", ",
    close="]<|tool_call_end|>",
)

LAYOUTS = {
    "json_tools": JSON_TOOLS,
    "llama3_json": LLAMA,
    "mistral_list": MISTRAL_LIST,
    "mistral_spaced_list": MISTRAL_SPACED_LIST,
    "mistral": MISTRAL_ARGS,
    "mistral_call_id": MISTRAL_ID_ARGS,
    "kimi_k2": KIMI_K2,
    "kimi_k3": KIMI_K3,
    "deepseek_v3": DEEPSEEK_V3,
    "deepseek_v31": DEEPSEEK_V31,
    "qwen3_coder": QWEN3_CODER,
    "minimax_m2": MINIMAX_M2,
    "glm45": GLM45,
    "glm47": GLM47,
    "longcat": LONGCAT,
    "minicpm5": MINICPM5,
    "muse_spark": MUSE_SPARK,
    "function_gemma": FUNCTION_GEMMA,
    "gemma4": GEMMA4,
    "pythonic": PYTHONIC,
}
