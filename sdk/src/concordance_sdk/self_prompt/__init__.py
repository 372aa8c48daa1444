"""Self-prompts: ask the model a question in the middle of its own completion.

    from concordance_sdk.self_prompt import EraseMode, SelfPrompt

The prompt is put there without the model, the answer is written under a constraint, and what is
not to stay is taken back, from the text and from the model's context.
"""

from concordance_sdk.self_prompt.builtin import self_prompt_mod
from concordance_sdk.self_prompt.erase import EraseMode
from concordance_sdk.self_prompt.run import SelfPromptRun
from concordance_sdk.self_prompt.self_prompt import SelfPrompt

__all__ = ["EraseMode", "SelfPrompt", "SelfPromptRun", "self_prompt_mod"]
