"""What the fields of requests mean, for `/openapi.json`.

A name means the same in every body, but for those with the name of a type before it.
"""

from collections.abc import Mapping

_FIELDS: Mapping[str, str] = {
    # Prompt
    "model": "A model, or `<model>/<mod>+<mod>`.",
    "messages": "The conversation.",
    "prompt": "A text, token ids, or a list of either; each is continued.",
    "tools": "The functions that the model may call.",
    "tool_choice": "`auto`, `none`, `required`, a function by name, or a list of allowed ones.",
    "parallel_tool_calls": "False: the model makes one call at most.",
    "chat_template_kwargs": "Variables of the model's chat template, such as `enable_thinking`.",
    "add_generation_prompt": "False: the prompt does not begin an assistant message.",
    "continue_final_message": "The completion continues the last message.",
    "allow_control_tokens": "Names of control tokens in messages become the tokens.",
    "add_special_tokens": "Prepend the tokens that the tokenizer prepends to a text, usually BOS.",
    # Reasoning
    "reasoning_effort": "How much the model reasons; `none`: not at all.",
    "thinking": "Switches the reasoning on or off; `budget_tokens` limits it.",
    "enable_thinking": "Switches the reasoning on or off.",
    "thinking_token_budget": "The most tokens of the reasoning; -1 is no limit.",
    "thinking_budget": "`thinking_token_budget`, as Qwen's servers name it.",
    "thinking_budget_tokens": "`thinking_token_budget`, as llama.cpp names it.",
    "reasoning_budget": "`thinking_token_budget` in an older spelling.",
    "reasoning_budget_tokens": "`thinking_token_budget` in an older spelling.",
    "max_thinking_tokens": "`thinking_token_budget` in another spelling.",
    "max_reasoning_tokens": "`thinking_token_budget` in another spelling.",
    "budget_tokens": "The most tokens of the reasoning; -1 is no limit.",
    "include_reasoning": "False: the response has no reasoning.",
    "separate_reasoning": "False: the content has the reasoning, with its tags.",
    "stream_reasoning": "False: a stream has the reasoning as one text, once it has ended.",
    "reasoning_format": "`none` and `raw`: as `separate_reasoning`; `hidden`: no reasoning.",
    "reasoning_field": "The field of a message that has the reasoning, or `both`.",
    "effort": "How much the model reasons; `none`: not at all.",
    "enabled": "Switches the reasoning on or off.",
    "exclude": "True: the response has no reasoning.",
    "summary": "Accepted; the reasoning is sent as it is.",
    # Mods
    "mods": "Names of mods, or `{name, params}`; they run in this order.",
    "params": "The mod's parameters.",
    # Length and end
    "max_tokens": "The most tokens of the completion.",
    "max_completion_tokens": "The most tokens of the completion; precedes `max_tokens`.",
    "min_tokens": "The completion has at least this many tokens, unless a mod ends it.",
    "stop": "Texts that end the completion, and are not part of it.",
    "stop_token_ids": "Tokens that end the completion as an end-of-sequence token does.",
    "ignore_eos": "End-of-sequence tokens do not end the completion.",
    # Sampling
    "temperature": "Divides the logits; 0 is greedy. The model's default if absent.",
    "top_p": "Keep the most probable tokens that sum to this.",
    "top_k": "Keep this many of the most probable tokens; 0 and -1 keep all.",
    "min_p": "Keep tokens with this fraction of the highest probability.",
    "xtc_probability": "Of dropping all but the least probable token above `xtc_threshold`.",
    "xtc_threshold": "A probability, for `xtc_probability`.",
    "repetition_penalty": "Divides the logits of generated tokens; 1 is neutral.",
    "presence_penalty": "Subtracted from the logits of generated tokens.",
    "frequency_penalty": "Subtracted from the logits of generated tokens for each occurrence.",
    "logit_bias": "Token id to a number that is added to its logit.",
    "seed": "Equal seeds, requests and mods give equal tokens.",
    # Formats
    "response_format": "Text, any JSON object, or JSON of a schema; enforced token by token.",
    "regex": "The completion is a full match of this regular expression.",
    "grammar": "The completion is a text of this grammar, in llguidance's variant of Lark.",
    "choice": "The completion is one of these texts.",
    "guided_json": "The completion is JSON of this schema; vLLM's older spelling.",
    "guided_regex": "`regex` in vLLM's older spelling.",
    "guided_grammar": "`grammar` in vLLM's older spelling.",
    "guided_choice": "`choice` in vLLM's older spelling.",
    "structured_outputs": "The format in vLLM's newer spelling.",
    # Response
    "stream": "Send server-sent events.",
    "stream_options": "Options of a stream.",
    "include_usage": "End the stream with a chunk that has the token counts.",
    "include_retractions": "Hold no text back, and report retracted characters.",
    "include_tokens": "Send every change of the completion, token by token.",
    "logprobs": "Report the log-probability of each token.",
    "top_logprobs": "Report this many alternatives of each token.",
    "return_token_ids": "Report the ids of all tokens, and the mods that forced them.",
    "return_token_strs": "Report the names of tokens in the vocabulary.",
    "echo": "The text of the response begins with the prompt.",
    "cache_salt": "Requests share cached prefixes only with requests of the same salt.",
    "tokens": "Token ids.",
    # Messages
    "role": "Who wrote the message.",
    "content": "Its text, or parts of it.",
    "tool_calls": "The calls of tools that the assistant made.",
    "tool_call_id": "The call that a tool message answers.",
    "reasoning": "The reasoning of the assistant; also `reasoning_content`.",
    "reasoning_content": "The reasoning of the assistant.",
    "text": "The text of the part.",
    # Tools
    "function": "The function.",
    "parameters": "A JSON Schema of the arguments.",
    "strict": "Accepted; arguments and formats are always enforced.",
    "arguments": "The arguments: a JSON object as text, or the object.",
    "description": "What it is for, for the model.",
    "name": "Its name.",
    "type": "Its kind.",
    "id": "Identifies it.",
    "schema": "A JSON Schema.",
    "json_schema": "The schema and its name.",
}

_OF_A_TYPE: Mapping[str, str] = {
    "ChatCompletionRequest.reasoning": "Effort, limit and switch of the reasoning in one object.",
    "ReasoningObject.max_tokens": "The most tokens of the reasoning; -1 is no limit.",
    "CompletionRequest.logprobs": "Report the log-probabilities of this many alternatives, to 5.",
    "TokenizeRequest.prompt": "A text.",
    "StructuredOutputs.json": "A JSON Schema.",
    "StructuredOutputs.json_object": "Any JSON object.",
    "StructuredOutputs.disable_any_whitespace": "Accepted; white space is always bounded.",
    "StructuredOutputs.disable_fallback": "Accepted; there is no other backend.",
    "StructuredOutputs.disable_additional_properties": "Only false: write it into the schema.",
    "ModPayload.name": "The mod's name in requests.",
    "ModPayload.entrypoint": "The function or class that is the mod, or its registered name.",
    "ModPayload.module": "The module that has the entry point.",
    "ModPayload.language": "`python`.",
    "ModPayload.source": "The source of one module.",
    "ModPayload.files": "Relative path to text, of several modules.",
    "ModPayload.dir": "A folder that older clients name; its files are in `files`.",
    "ModPayload.home": "A package whose modules can also be imported without its name.",
}


def description_of(type_name: str, field: str) -> str | None:
    """What a field of a type means; `None` if that is not written down."""
    return _OF_A_TYPE.get(f"{type_name}.{field}") or _FIELDS.get(field)
