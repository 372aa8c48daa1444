"""A mod that follows rules: the same code runs in the executor and in the engine."""

import numpy as np

#: Events at a token, which have a channel.
AT_TOKENS = ("ForwardPass", "Sampled", "Added")


class Script:
    """A mod of one request; records every event that it receives."""

    def __init__(self, name, mod, vocab_size):
        """Start before the first event."""
        self.vocab_size = vocab_size
        self.contains = [
            Script(f"{name}/c{i}", inner, vocab_size) for i, inner in enumerate(mod.contains)
        ]
        self.name, self.on, self.max_backtrack = name, frozenset(mod.on), mod.max_backtrack
        self.events = []
        self._mod = mod
        self.steps = mod.steps
        self._seen = dict.fromkeys(mod.on, 0)
        self._left = [rule.times for rule in mod.rules]
        self._budget = None

    def act(self, event):
        """Return the action for an event: a list of its kind and values."""
        self.events.append(event)
        if event.name == "Prefilled":
            self._budget = event.max_steps
        nth = self._seen[event.name]
        self._seen[event.name] += 1
        for i, rule in enumerate(self._mod.rules):
            if rule.on == event.name and self._left[i] != 0 and self._applies(rule, event, nth):
                if self._left[i] is not None:
                    self._left[i] -= 1
                return resolved(rule.do, event, self.vocab_size)
        return ["noop"]

    @property
    def parts(self):
        """This mod, then the mods that it contains, in the order in which they act."""
        return [self, *(part for inner in self.contains for part in inner.parts)]

    @property
    def reads(self):
        """True if it reads every row of logits."""
        return self._mod.reads

    def _applies(self, rule, event, nth):
        kind, *values = rule.when
        if kind == "nth":
            return nth == values[0]
        if kind == "every":
            return nth % values[0] == 0
        if kind == "length":
            return length_at(event) >= values[0]
        if kind == "token":
            last = event.tokens[-1] if event.tokens else 0
            return last % values[0] == values[1]
        if kind == "channel":
            return event.name in AT_TOKENS and event.place[0] == values[0]
        return kind != "full" or (self._budget is not None and length_at(event) >= self._budget)


def length_at(event):
    """Return the length of the completion at an event."""
    return event.step + (len(event.tokens) if event.name == "Added" else 0)


def resolved(action, event, vocab_size):
    """Return an action of a program with the values that depend on the event."""
    kind, *values = action
    if kind == "list":
        return ["list", [resolved(each, event, vocab_size) for each in values[0]]]
    if kind in ("report", "report!"):
        data = {**values[0], "on": event.name, "length": length_at(event)}
        data |= {"large": "x" * data["large"]} if "large" in data else {}
        return ["report", data | ({"bad": {1}} if kind == "report!" else {})]
    if kind == "backtrack":
        return ["backtrack", min(values[0], length_at(event)), values[1]]
    if kind == "backtrack!":
        return ["backtrack", *values]
    if kind == "logits":
        change = dict(values[0])
        if "row" in change:
            change["row"] = _row(change["row"], event, vocab_size)
        return ["logits", change]
    return action


def _row(spec, event, vocab_size):
    if spec[0] == "negated" and event.name == "ForwardPass":
        return -np.asarray(event.logits() if callable(event.logits) else event.logits)
    row = np.random.default_rng(spec[-1] if spec[0] == "random" else 0).normal(size=vocab_size) * 4
    row = row.astype(np.float32)
    if spec[0] == "nan":
        row[3] = np.nan
    return row[:-1] if spec[0] == "short" else row


def scripts_of(request, vocab_size):
    """Return the mods of a request, before the first event."""
    return [Script(f"m{i}", spec, vocab_size) for i, spec in enumerate(request.mods)]


def parts_of(scripts):
    """Return the mods and those that they contain, in the order in which they act."""
    return [part for script in scripts for part in script.parts]
