"""Where the model hesitates between two tokens, it is made to check what it is about to say.

Alone, with a model that is scripted, and with a real one:

    uv run python examples/double_check.py
    uv run concordance generate "What is 17 * 3?" --mods examples/double_check.py \
        --mod double_check:margin=0.2
"""

from concordance_sdk import mod
from concordance_sdk.testing import play


@mod(max_backtrack=0, logits=2)
class DoubleCheck:
    """Forces a second thought, once, where the two best tokens are nearly as likely."""

    margin: float = 0.2  # nats: e ** 0.2 means 1.2 times as likely
    thought: str = "(wait, let me check that) "

    def __init__(self):
        """Begin without having checked."""
        self.has_checked = False

    def forward_pass(self, event, actions, tokenizer):
        """Only the margin leaves the device, not the row of logits."""
        if self.has_checked or event.logits.margin(2) > self.margin:
            return None
        self.has_checked = True
        return actions.force_tokens(tokenizer.encode(self.thought))


def model(completion):
    """Is sure of everything but the number; when it has checked, of that as well."""
    said = bytes(completion).decode()
    if said == "It is ":
        return {ord("4"): 3.0, ord("5"): 2.9}
    whole = said[: said.index(")")] + ") 51." if "(" in said else "It is 41."
    return {ord(whole[len(said)]) if len(said) < len(whole) else 256: 3.0}


if __name__ == "__main__":
    print("without:", play(script=model).text)
    print("with:   ", play(DoubleCheck, script=model).text)
