"""What authors call methods and arguments by the words of other libraries, for hints."""

#: What authors call a method of `Actions` -> the method.
_OTHER_WORDS = {
    "adjust_logits": "allow ban bias logits mask temp temperature token_temp",
    "adjust_prefill": "prefill prompt",
    "backtrack": "delete drop erase pop remove retract rewind rollback undo",
    "emit_error": "abort fail raise refuse",
    "force_output": "output replace respond",
    "force_tokens": "add append emit inject insert say text write",
    "noop": "continue ignore none nothing pass skip",
    "stop": "done end eos exit finish halt",
}
METHOD_FOR = {word: name for name, words in _OTHER_WORDS.items() for word in words.split()}

#: What authors call a step of a script -> the method of its run that makes it.
_STEP_WORDS = {
    "ask": "prompt query question",
    "choose": "choice pick rank select",
    "error": "abort emit_error fail raise refuse",
    "force": "add append emit force_output force_tokens inject insert output print say write",
    "generate": "complete continue_ decode sample next think",
    "logits": "distribution forward look scores",
    "report": "event log send",
    "rewind": "backtrack delete drop erase pop remove retract rollback undo",
    "stop": "done end eos exit finish halt",
}
STEP_FOR = {word: name for name, words in _STEP_WORDS.items() for word in words.split()}

#: What authors call an argument of a step, or of an action -> the argument.
ARGUMENT_FOR = {
    **dict.fromkeys(("max_tokens", "max_new_tokens", "n", "num_tokens", "length"), "tokens"),
    **dict.fromkeys(("stop", "stop_at", "end", "stop_words"), "until"),
    **dict.fromkeys(("temp", "token_temp", "t"), "temperature"),
    **dict.fromkeys(("grammar", "strategy", "strat", "format"), "constraint"),
    **dict.fromkeys(("logit_bias", "biases"), "bias"),
    **dict.fromkeys(("exclude", "avoid", "bad_words"), "ban"),
    "keep_until": "keeps_until",
}
CONSTRAINT_FOR = {
    **dict.fromkeys(("regex", "pattern"), "constraint=Regex(...)"),
    **dict.fromkeys(("choices", "options", "one_of", "select"), "constraint=ChoicesStrat(...)"),
    **dict.fromkeys(("json", "schema", "json_schema"), "constraint=JsonSchema(...)"),
}

#: What authors call a method of logits -> the method.
LOGITS_METHOD_FOR = dict.fromkeys(("argmax", "argsort", "max", "sort", "topk"), "top_k") | {
    "softmax": "logprobs",
    "log_softmax": "logprobs",
    **dict.fromkeys(("copy", "cpu", "numpy", "shape", "size", "tolist"), "to_numpy"),
}
