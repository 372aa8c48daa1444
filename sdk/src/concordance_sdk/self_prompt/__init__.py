"""Self-prompts: ask the model a question in the middle of its own completion.

    from concordance_sdk.self_prompt import EraseMode, SelfPrompt

The prompt is forced into the completion, the answer is sampled under a constraint, and what should
not stay is erased, from the text and from the KV cache.
"""

from concordance_sdk.self_prompt.builtin import self_prompt_mod
from concordance_sdk.self_prompt.edit import Edit, EraseMode
from concordance_sdk.self_prompt.run import SelfPromptRun
from concordance_sdk.self_prompt.self_prompt import SelfPrompt

__all__ = ["Edit", "EraseMode", "SelfPrompt", "SelfPromptRun", "self_prompt_mod"]
