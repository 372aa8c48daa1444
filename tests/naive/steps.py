"""Scripts as plain data: the same generator runs in the engine and in `top_to_bottom`.

A script is a list of steps: `["generate", options]`, `["ask", prompt, choices, erase]`,
`["choose", texts]`, `["force", text]`, `["mark", name]`, `["release", name]`, `["rewind", name]`,
`["stop"]`, `["tool"]`, `["error"]`, `["repeat", n, steps]`, or `["if", word, steps, steps]`, which
tests how the last step ended, or what it produced.
"""

from concordance_sdk.constraints import ChoicesStrat


def script_of(steps):
    """Return the generator function of a script, which reports what each step produced."""

    def script(run):
        memory = {"marks": {}, "last": ()}
        try:
            yield from _run(run, steps, memory)
        finally:
            run.report(over=True)

    return script


def _run(run, steps, memory):
    for kind, *values in steps:
        if kind == "repeat":
            for _ in range(values[0]):
                yield from _run(run, values[1], memory)
        elif kind == "if":
            yield from _run(run, values[1 if values[0] in memory["last"] else 2], memory)
        elif kind == "mark":
            memory["marks"][values[0]] = run.mark()
        elif kind == "release":
            memory["marks"][values[0]].release()
        elif kind == "rewind":
            yield run.rewind(memory["marks"][values[0]])
        else:
            result = yield _step(run, kind, values)
            if result is not None:
                memory["last"] = (str(result), str(result.ended_by))
                yield run.report(**_seen(run, kind, result))


def _step(run, kind, values):
    if kind == "generate":
        options = dict(values[0])
        options["bias"] = {int(key): value for key, value in options.pop("bias", {}).items()}
        return run.generate(**options)
    if kind == "ask":
        prompt, choices, erase = values
        return run.ask(prompt, ChoicesStrat(choices), erase=erase)
    if kind == "tool":
        return run.tool_call("look", x=1)
    if kind == "error":
        return run.error("no more")
    return getattr(run, kind)(*values)


def _seen(run, kind, result):
    """Return what a script sees of a result."""
    return {
        "kind": kind,
        "ids": list(result.token_ids),
        "text": str(result),
        "ended_by": str(result.ended_by),
        "position": run.position,
    }


# Generator. `dice` is a `random.Random`, or Hypothesis's.

_LETTERS = {str(ord(letter)): 9.0 for letter in "ab. "}
_CHOICES = [["yes", "no"], ["left", "lower"], ["ab", "b", "ca"]]


def random_steps(dice, depth=0):
    """Return the steps of a random script. The outermost ones begin with a mark."""
    steps = [_random_step(dice, depth) for _ in range(dice.choice([1, 2, 3, 4, 6]))]
    return steps if depth else [["mark", "a"], *steps]


def _random_step(dice, depth):
    word = dice.choice(["model", "length", "until", "tokens", "yes", "ab", "left"])
    nested = {
        "repeat": lambda: [dice.choice([2, 3]), random_steps(dice, depth + 1)],
        "if": lambda: [word, *(random_steps(dice, depth + 1) for _ in range(2))],
    }
    makers = {
        "generate": lambda: [_options(dice)],
        "ask": lambda: [dice.choice(["?", "ab?", "Sure? "]), dice.choice(_CHOICES), erase],
        "force": lambda: [dice.choice(["a", "ab. ", "Well. So ", [5, 6, 256], [256], [200, 97]])],
        "choose": lambda: [dice.choice([*_CHOICES, ["a", "ab"]])],
        "mark": lambda: ["a"],
        "rewind": lambda: ["a"],
        "stop": list,
        "tool": list,
        "error": list,
    }
    erase = dice.choice(["all", "all", "prompt", "none"])
    common = ["generate", "generate", "generate", "ask", "force"]
    is_nested = depth < 2 and dice.random() < 0.2
    kind = dice.choice([*nested] if is_nested else [*common, *makers])
    return [kind, *(nested | makers)[kind]()]


def _options(dice):
    options = {}
    if dice.random() < 0.7:
        options["bias"] = dice.choice([_LETTERS, _LETTERS, {"256": 4.0}, {"256": 9.0, "97": 9.0}])
    if dice.random() < 0.5:
        options["tokens"] = dice.choice([0, 1, 2, 5])
    if dice.random() < 0.4:
        options["until"] = dice.choice([["a"], ["ab", "b"], [". "], ["aa", "bb", ". "]])
        options["keeps_until"] = dice.random() < 0.4
    if dice.random() < 0.3:
        options["sentences"] = dice.choice([1, 2])
    if dice.random() < 0.3:
        options["temperature"] = dice.choice([0, 0.7, 2.0])
    return options
