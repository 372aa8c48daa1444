"""Lower the temperature where the model is unsure."""

from concordance_sdk import mod


@mod(max_backtrack=0)
class Cooler:
    """Compares the entropy of each position with a threshold."""

    threshold: float = 2.0  # nats
    temperature: float = 0.3

    def forward_pass(self, event, actions):
        """Copies one number from the device."""
        if event.logits.entropy() > self.threshold:
            return actions.adjust_logits(token_temp=self.temperature)
