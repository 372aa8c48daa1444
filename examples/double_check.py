"""Make the model check a token when it hesitates between two.

Run it with a scripted model, and with a real one:

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
    thought: str = " (wait, let me check that)"

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
    """A model that is certain of everything but what "It is", and of that after the check."""
    said = bytes(completion).decode()
    if said == "It is":
        return {ord(" "): 3.0, ord("n"): 2.9}
    whole = said[: said.index(")")] + ") 51." if "(" in said else "It is 41."
    return {ord(whole[len(said)]) if len(said) < len(whole) else 256: 3.0}


if __name__ == "__main__":
    print("without:", play(script=model).text)
    print("with:   ", play(DoubleCheck, script=model).text)
