"""Random programs: requests, the actions of their mods, and the engine's configuration.

A program is plain data and goes through JSON unchanged, so that a failing one can be printed,
copied and run again.
"""

import json
from dataclasses import asdict, dataclass, field

from concordance_inference.generation import SamplingParams

from naive.channels import HARMONY, KINDS
from naive.models import vocab_of, window_of
from naive.steps import random_steps

VOCAB = 257
EOS = 256
EVENTS = ("Prefilled", "ForwardPass", "Sampled", "Added", "Finished")

#: The bytes of token `i` in the short alphabet: `PIECES[i % len(PIECES)]`.
PIECES = [b"a", b"b", b"ab", b"c", b" ", b"", "é".encode()[:1], "é".encode()[1:], "日".encode()[:2]]
PIECES += ["日".encode()[2:], "日".encode(), b"ba", b"\n"]


@dataclass
class Rule:
    """A condition at which a mod acts, and its action."""

    on: str  # the event
    when: list  # ["nth", k], ["every", k], ["length", k], ["token", m, r], ["channel", name], ...
    do: list  # the action and its values
    times: int | None = 1  # acts so often; None for ever


@dataclass
class Mod:
    """One mod: its events and its rules; the first rule that applies decides."""

    on: list[str]
    rules: list[Rule]
    max_backtrack: int | None = 32
    reads: bool = False  # every row of logits
    contains: list["Mod"] = field(default_factory=list)  # other mods, which act after it
    steps: list = field(default_factory=list)  # of a script, which has no rules; see `steps`


@dataclass
class Request:
    """One request, and the steps at which it is submitted and cancelled."""

    prompt: list[int]
    max_tokens: int | None
    mods: list[Mod] = field(default_factory=list)
    sampling: dict = field(default_factory=lambda: {"temperature": 0, "seed": 0})
    stop: list[str] = field(default_factory=list)
    stop_ids: list[int] = field(default_factory=list)
    ignore_eos: bool = False
    min_tokens: int = 0
    guard: dict = field(default_factory=dict)  # channels and recipients of legal headers, if any
    formats: dict = field(default_factory=dict)  # a regex of `final`, schemas by recipient
    loops: dict = field(default_factory=dict)  # what it asks of loop detection, if anything
    stream: bool = False
    retractions: bool = False
    show_tokens: bool = False
    top_logprobs: int | None = None
    sampled_logprobs: bool = False  # with them
    choices: int = 1  # completions of the prompt, each with a seed of its own
    at: int = 0  # the step before which it is submitted
    after: int | None = None  # submitted when this request has ended
    goes_on: bool = False  # its prompt begins with all tokens of that request
    cancel: int | None = None  # cancelled this many steps after submission
    salt: str = ""
    late: int = 0  # seed of how late the answers of its mods are, as from other processes; 0: never


@dataclass
class Program:
    """The requests to one engine, and its configuration."""

    model: str
    requests: list[Request]
    max_rows: int = 8
    chunk: int = 256
    growth: int = 16
    resize_bytes: int = 0  # of the caches in one step; 0: the device's usual number
    margin: int = 6
    memory: float | None = None  # times what the largest request needs; None: without a bound
    prefixes: bool = True
    per_token: float = 0.05  # cost of a token in a pass, whose fixed cost is 1
    sharing: int | None = None  # rows share no more than this
    candidates: int | None = None  # highest logits sorted for top-k and top-p
    context: int = 4096
    eos: list[int] = field(default_factory=lambda: [EOS])
    alphabet: str = "bytes"
    control: list[int] = field(default_factory=list)  # tokens that are never penalized, nor loop
    headers: list[int] = field(default_factory=list)  # those of them that open a header
    loop_repeats: int = 4  # repeated tokens that are a loop; of longer periods, two of each
    channels: str = ""  # how the model marks them, one of `channels.KINDS`; empty for none

    def to_json(self):
        """Return one line for `from_json`, without fields that have their default."""
        return json.dumps(_short(asdict(self)), separators=(",", ":"))


def from_json(text):
    """Return the program of `Program.to_json`."""
    data = json.loads(text) if isinstance(text, str) else text
    requests = [
        Request(**{**r, "mods": [_mod(m) for m in r.get("mods", [])]}) for r in data["requests"]
    ]
    return Program(**{**data, "requests": requests})


def _mod(data):
    rules = [Rule(**rule) for rule in data["rules"]]
    return Mod(**{**data, "rules": rules, "contains": [_mod(m) for m in data.get("contains", [])]})


def _short(data):
    defaults = asdict(Program("", []))
    requests = [
        {k: v for k, v in r.items() if k in ("max_tokens",) or v != _REQUEST[k]}
        for r in data["requests"]
    ]
    kept = {k: v for k, v in data.items() if v != defaults[k]}
    return {**kept, "requests": requests}


_REQUEST = asdict(Request([], None))


# Generator. `dice` is a `random.Random`, or Hypothesis's.


def random_program(dice, model):
    """Return a random program for a model."""
    window, growth = window_of(model), dice.choice([16, 16, 256])
    margin = dice.choice([2, 6, 6, 20, 128])
    chunk = dice.choice([1, 3, 5, 16, 64, 256])
    edges = [window, window + margin, growth, growth - 32, chunk, 16, 32, 2 * window]
    context = dice.choice([4096] * 6 + [48, 90])
    wide = Program(
        model=model,
        requests=[],
        max_rows=dice.choice([1, 2, 3, 8]),
        chunk=chunk,
        growth=growth,
        resize_bytes=dice.choice([0, 1]),  # 1: one layer of each group in a step
        margin=margin,
        memory=dice.choice([None, None, None, 0.6, 1.0, 1.5, 2.5]) if context == 4096 else None,
        prefixes=dice.random() < 0.85,
        per_token=dice.choice([0.0, 0.05, 0.05, 1.0]),
        sharing=dice.choice([None, None, None, 0, 1, 2]),
        candidates=dice.choice([None, 3, 6]),
        context=context,
        eos=[EOS, *dice.sample(range(VOCAB), dice.choice([0, 0, 4, 20]))],
        alphabet=dice.choice(["bytes", "short", "short"]),
        channels=dice.choice(["", "", "", *KINDS]),
    )
    if wide.memory:
        wide.context = 200  # or requests without `max_tokens` are as long as memory allows
    habit = dice.choice(
        [None] * 6
        + [_run_scripts, _run_scripts, _share_prefixes, _force_beside_others, _go_and_come]
        + [_ask_for_choices, _run_in_loops, _guard_headers, _guard_headers]
    )
    if habit:
        wide.channels = "" if habit is _run_scripts else wide.channels
        habit(dice, wide, edges)
        return wide
    prompts = _prompts(dice, edges, context)
    for i in range(dice.choice([1, 1, 2, 2, 2, 3, 4, 5])):
        wide.requests.append(_request(dice, wide, prompts, i, edges))
    return wide


def _share_prefixes(dice, program, edges):
    """Consecutive prompts of equal length that differ in their last tokens."""
    program.prefixes, program.context, program.memory = True, 4096, None
    length = max(20, _length(dice, edges, 70))
    base = _tokens(dice, length)
    prompts = [base]
    for _ in range(2):
        common = length - dice.choice([1, 4, 10, 10, 15])
        prompts.append(base[:common] + _tokens(dice, length - common))
    for i in range(dice.choice([3, 4, 6])):
        request = Request(prompt=list(dice.choice(prompts)), max_tokens=dice.choice([1, 2, 4, 9]))
        request.goes_on = i > 1 and dice.random() < 0.3
        request.after = i - 1 if i and (request.goes_on or dice.random() < 0.8) else None
        if request.goes_on:
            request.prompt = request.prompt[-3:]
        if dice.random() < 0.3:
            request.mods = [_random_mod(dice, request, edges)]
        program.requests.append(request)


def _ask_for_choices(dice, program, edges):
    """Many choices of one prompt, beside other requests with a common prefix."""
    program.context, program.memory = 4096, dice.choice([None, None, 1.5, 4.0])
    program.max_rows = dice.choice([2, 3, 8])
    prompts = _prompts(dice, edges, 4096)
    for i in range(dice.choice([1, 2, 3])):
        request = _request(dice, program, prompts, i, edges)
        request.choices = dice.choice([2, 3, 5, 8])
        if dice.random() < 0.3:  # the same prompt for all of them
            do = ["prefill", _tokens(dice, _length(dice, edges, 90)), 0]
            rule = Rule(on="Prefilled", when=["nth", 0], do=do)
            request.mods = [Mod(on=["Prefilled"], rules=[rule])]
        program.requests.append(request)


def _run_in_loops(dice, program, edges):
    """Requests whose completions loop, of control tokens and headers among others."""
    program.eos, program.context, program.memory = [EOS], 4096, None
    program.control = dice.choice([[], [], [7], [7, 8, 9]])
    program.headers = program.control[: dice.choice([0, 1, 2])]
    program.loop_repeats = dice.choice([1, 2, 3, 4, 6])
    prompts = _prompts(dice, edges, 4096)
    for i in range(dice.choice([1, 2, 3])):
        request = _request(dice, program, prompts, i, edges)
        request.max_tokens = dice.choice([5, 12, 20, 30])
        liked = dice.sample([5, 6, 7, 8, 9], dice.choice([1, 2, 2, 3]))
        bias = {str(token_id): dice.choice([4.0, 20.0, 20.5, 21.0]) for token_id in liked}
        request.sampling["logit_bias"] = bias
        request.loops = {
            "mode": dice.choice(["cheap", "full", "full"]),
            "action": dice.choice(["end", "rewind", "rewind", "rewind"]),
            "max_tries": dice.choice([1, 2, 4, 16]),
        }
        if dice.random() < 0.3:
            do = _edit(dice, "force")
            rule = Rule(on="Added", when=["every", dice.choice([2, 3])], do=do, times=None)
            request.mods = [Mod(on=["Added"], rules=[rule])]
        program.requests.append(request)


def _guard_headers(dice, program, edges):
    """Requests with legal headers, and mods that write others and remove parts of headers."""
    program.channels, program.alphabet = "harmony", "short"
    program.eos = [253, 254, 255]
    program.context, program.memory = 4096, None
    program.control = dice.choice([[], [*HARMONY]])
    program.headers = [5, 6] if program.control else []
    program.loop_repeats = dice.choice([2, 4])
    for i in range(dice.choice([1, 2, 3, 4])):
        prompts = [_tokens(dice, 12) + dice.choice(_BEGUN) for _ in range(2)]
        request = _request(dice, program, prompts, i, edges)
        request.max_tokens = dice.choice([5, 12, 25, 40])
        if request.goes_on:
            request.prompt += dice.choice(_BEGUN)
        names = dice.choice([[], ["f"], ["f", "fa"], ["f", "fa", "fab"]])
        channels = [["analysis", "final"], ["final"], ["analysis", "commentary", "final"]]
        request.guard = {"channels": dice.choice(channels), "recipients": names}
        if dice.random() < 0.1:
            request.guard = {}
        # The masks of a constraint are as wide as the tokenizer, which is that of bytes.
        if vocab_of(program.model) == VOCAB and dice.random() < 0.6:
            final = dice.choice([None, *_REGEXES])
            request.formats = {"final": final, "tools": {n: dice.choice(_SCHEMAS) for n in names}}
        likes = {t: dice.choice([2.0, 6.0, 20.0]) for t in [*HARMONY] if dice.random() < 0.5}
        if dice.random() < 0.4:
            likes |= {dice.choice([16, 20, 21]): 20.0}
        if request.formats:  # a grammar stays ended where a mod removes its own end
            likes |= {EOS: -1000.0}
        request.sampling["logit_bias"] = {str(token_id): bias for token_id, bias in likes.items()}
        if dice.random() < 0.3:
            action = dice.choice(["end", "rewind", "rewind"])
            request.loops = {"mode": dice.choice(["cheap", "full"]), "action": action}
        if dice.random() < 0.3:
            request.stop = [dice.choice(["ab", "fin", "a", "bb", " ", "assistant", "final", "|>"])]
        if dice.random() < 0.6:
            forced = dice.choice(_FORCED)
            do = dice.choice([["force", forced], ["backtrack", dice.choice([1, 2, 4, 9]), forced]])
            do = dice.choice([do, do, ["backtrack", dice.choice([1, 2, 5]), None]])
            channel = ["channel", dice.choice([None, "final", "analysis"])]
            when = dice.choice(
                [channel, channel, ["length", dice.choice([1, 3, 5, 8])], ["every", 3]]
            )
            on = dice.choice(["ForwardPass", "Sampled", "Added"])
            rule = Rule(on=on, when=when, do=do, times=dice.choice([1, 2, 3, None]))
            most = dice.choice([0, 3, 32, None])
            request.mods = [*request.mods[:1], Mod(on=[on], rules=[rule], max_backtrack=most)]
        program.requests.append(request)


#: The texts of `final`, and the arguments of calls.
_REGEXES = ["[ab]{2,5}", "ab(ba)*", "a+b?", "(ab|ba|abab) ?"]
_SCHEMAS = [
    {"type": "object", "additionalProperties": False},
    {"type": "object", "properties": {"a": {"enum": [1, 12, 3]}}, "required": ["a"]},
    {"type": "object", "properties": {"ab": {"type": "string"}}, "additionalProperties": False},
]

#: Beginnings of messages at the end of a prompt, and texts of mods: legal and other headers.
_BEGUN = [[], [5], [5, 23], [5, 23], [5, 23], [5, 23, 6], [5, 23, 6, 17, 7], [5, 23, 6, 16, 7, 20]]
_BEGUN += [[5, 23, 20], [5, 23, 6, 18, 19], [5, 23, 6, 20, 7], [40]]
_FORCED = [[5], [6], [7], [40], [40, 5], [40, 5, 23], [40, 5, 23, 6, 16, 7], [6, 16, 7], [6, 17]]
_FORCED += [
    [5, 23, 6, 20, 7],
    [40, 7],
    [40, 20],
    [41],
    [20, 21],
    [253],
    [40, 254],
    [5, 23, 6, 18, 19],
]


def _run_scripts(dice, program, edges):
    """Requests with a script, alone or with another mod, beside requests without."""
    program.eos, program.context = [EOS], 4096
    program.memory = None
    prompts = _prompts(dice, edges, 4096)
    for i in range(dice.choice([1, 1, 2, 3, 5])):
        request = _request(dice, program, prompts, i, edges)
        request.max_tokens = dice.choice([0, 1, 2, 5, 9, 14, 20, 40, 60, 60])
        request.stop_ids, request.ignore_eos, request.min_tokens = [], False, 0
        if vocab_of(program.model) == VOCAB and (i == 0 or dice.random() < 0.8):
            beside = [[]] * 3 + [[_random_mod(dice, request, edges)]]
            request.mods = [Mod(on=[], rules=[], steps=random_steps(dice)), *dice.choice(beside)]
            dice.shuffle(request.mods)
        program.requests.append(request)


def _force_beside_others(dice, program, edges):
    """Forced spans that are prefilled in chunks, with log-probabilities and penalties."""
    program.chunk, program.context, program.memory = dice.choice([1, 3, 5]), 4096, None
    for i in range(dice.choice([1, 2, 3])):
        request = _request(dice, program, [_tokens(dice, 3)], i, edges)
        request.max_tokens, request.top_logprobs = 30, dice.choice([None, 0, 0, 3])
        request.sampling["repetition_penalty"] = dice.choice([1.8, 0.6])
        do = _edit(dice, "force")
        rule = Rule(on="Added", when=["nth", dice.choice([0, 1, 3])], do=do, times=1)
        request.mods = [Mod(on=["Added"], rules=[rule])]
        program.requests.append(request)


def _go_and_come(dice, program, edges):
    """Outputs beyond the KV budget and prompts of a mod's own, while other requests run."""
    program.chunk, program.context = dice.choice([1, 3, 16]), 4096
    for i in range(dice.choice([3, 4, 6])):
        request = Request(prompt=_tokens(dice, 3), max_tokens=dice.choice([1, 2, 4]))
        request.at, request.top_logprobs = dice.randrange(12), dice.choice([None, 0])
        do = ["output", _tokens(dice, dice.choice([10, 40, 80]))]
        on = dice.choice(["Prefilled", "ForwardPass", "Sampled", "Added"])
        if dice.random() < 0.3:
            on, do = "Prefilled", ["prefill", _tokens(dice, dice.choice([10, 40])), 0]
        if i < 3:
            request.mods = [Mod(on=[on], rules=[Rule(on=on, when=["nth", 0], do=do)])]
        program.requests.append(request)


def _tokens(dice, count):
    """Return random tokens; often of a few ids, so that forced tokens are also sampled."""
    ids = range(VOCAB) if dice.random() < 0.5 else [5, 6, 7, 40, 41, 97]
    return [dice.choice(ids) for _ in range(count)]


def _length(dice, edges, most):
    """Return a length, mostly near an edge."""
    edge = dice.choice(edges) + dice.choice([-1, 0, 0, 1, 2, 10])
    length = edge if dice.random() < 0.6 else dice.randint(1, 60)
    return max(1, min(length, most))


def _prompts(dice, edges, context):
    """Prompts with shared prefixes: most of equal length, different in their last tokens."""
    most = min(90, context - 1)
    length = _length(dice, edges, most)
    base = _tokens(dice, length)
    prompts = [base]
    for _ in range(dice.choice([0, 1, 2, 3])):
        common = max(0, length - dice.choice([1, 3, 10, 10, 17]))
        kind = dice.random()
        if kind < 0.6:
            prompts.append(base[:common] + _tokens(dice, length - common))
        elif kind < 0.8:
            prompts.append((base + _tokens(dice, dice.choice([1, 5, 20])))[:most])
        else:
            prompts.append(_tokens(dice, _length(dice, edges, most)))
    return prompts


def _request(dice, program, prompts, i, edges):
    prompt = list(dice.choice(prompts))
    most = max(0, program.context - len(prompt))
    request = Request(
        prompt=prompt,
        max_tokens=min(most, dice.choice([0, 1, 2, 3, 4, 5, 6, 8, 8, 12, 20])),
        sampling=_sampling(dice),
        top_logprobs=dice.choice([None, None, 0, 3]) if program.context > 100 else None,
        salt=dice.choice([""] * 9 + ["salt"]),
        choices=dice.choice([1] * 9 + [2, 4]),
    )
    request.sampled_logprobs = request.top_logprobs is not None and dice.random() < 0.7
    if (program.context < 100 or program.memory) and dice.random() < 0.3:
        request.max_tokens = None
    if i and dice.random() < 0.6:
        request.after = dice.randrange(i)
        request.goes_on = dice.random() < 0.3
    else:
        request.at = dice.choice([0, 0, 0, 1, 3, 9])
    if request.goes_on:
        request.prompt = _tokens(dice, dice.choice([1, 2, 6]))
    if dice.random() < 0.1:
        request.cancel = dice.choice([0, 1, 2, 4, 8, 15])
    if dice.random() < 0.4:
        request.stream = True
        request.retractions = dice.random() < 0.3
        request.show_tokens = dice.random() < 0.3
    if dice.random() < 0.3:
        request.stop = [dice.choice(["ab", "ba", "é", "日", "a\n", "bab", "aa", " ", "xyz"])]
        request.stop += dice.choice([[], ["abc"], ["\n", "b"]])
    if dice.random() < 0.3:
        request.stop_ids = _tokens(dice, dice.choice([0, 1, 8]))
        request.ignore_eos = dice.random() < 0.5
        request.min_tokens = dice.choice([0, 1, 3, 9])
    request.mods = [_random_mod(dice, request, edges) for _ in range(dice.choice([0, 1, 1, 2, 3]))]
    if request.ignore_eos and dice.random() < 0.5:
        request.mods.append(_ending_mod(dice, program.eos))
    if program.candidates and dice.random() < 0.1:
        _cut_by_rank(dice, request, most)
    if vocab_of(program.model) > VOCAB and dice.random() < 0.6:
        request.sampling |= {"temperature": 4, **dice.choice(_WIDE_CUTS)}
    if request.mods and request.cancel is None and dice.random() < 0.3:
        request.late = dice.randrange(1, 1_000_000)
    return request


def _ending_mod(dice, eos):
    """Return a mod that forces an end-of-sequence token."""
    forced = [*_tokens(dice, dice.choice([0, 2])), dice.choice(eos), *_tokens(dice, 1)]
    do = dice.choice([["force", forced], ["backtrack", 1, forced], ["output", forced]])
    rule = Rule(on="Added", when=["length", dice.choice([1, 2, 4])], do=do, times=None)
    return Mod(on=["Added"], rules=[rule])


#: Keep about a third of a flat distribution, and more tokens than are sorted.
_WIDE_CUTS = [
    {"top_p": 0.95},
    {"top_p": 0.8},
    {"top_k": 1500},
    {"top_k": 1500, "top_p": 0.9},
    {"top_k": 100, "top_p": 0.99, "min_p": 0.001},
]


def _cut_by_rank(dice, request, most):
    """Too few sorted candidates at times, with penalties by which a wrong count shows."""
    request.mods, request.max_tokens = [], min(most, 25)
    request.sampling |= {"temperature": 0.7, "top_p": dice.choice([0.5, 0.7])}
    request.sampling |= {"repetition_penalty": 0.3, "frequency_penalty": 1.5}


def _sampling(dice):
    sampling = {"temperature": dice.choice([0, 0, 0, 0.7, 1, 1.5, 4]), "seed": dice.randrange(100)}
    if dice.random() < 0.3:
        sampling["repetition_penalty"] = dice.choice([1.3, 1.8, 0.6])
    if dice.random() < 0.2:
        sampling["frequency_penalty"] = dice.choice([0.5, 1.5, -1.0])
    if dice.random() < 0.2:
        sampling["presence_penalty"] = dice.choice([0.5, 2.0])
    if dice.random() < 0.2:
        sampling["logit_bias"] = {str(EOS): dice.choice([3.0, 8.0]), "97": 2.5}
    if sampling["temperature"]:
        sampling |= dice.choice(
            [{}, {}, {"top_p": 0.9}, {"top_p": 0.5}, {"top_k": 5}, {"top_k": 20, "top_p": 0.8}]
        )
        sampling |= dice.choice([{}, {}, {"min_p": 0.05}])
        sampling |= dice.choice([{}, {}, {"xtc_probability": 0.5, "xtc_threshold": 0.1}])
    return sampling


def sampling_params(request):
    """Return a request's sampling parameters for the engine."""
    bias = {int(k): v for k, v in request.sampling.get("logit_bias", {}).items()}
    return SamplingParams(**{"seed": 0, **request.sampling, "logit_bias": bias})


def _random_mod(dice, request, edges, depth=0):
    rules = [_rule(dice, request, edges) for _ in range(dice.choice([0, 1, 1, 2, 3]))]
    also = [event for event in EVENTS if dice.random() < 0.3]
    also += ["Prefilled" for rule in rules if rule.when == ["full"]]  # whose event has the budget
    on = [event for event in EVENTS if event in also or any(rule.on == event for rule in rules)]
    return Mod(
        on=on or ["Added"],
        rules=rules,
        max_backtrack=dice.choice([32, 32, 3, 0, None]),
        reads=dice.random() < 0.4,
        contains=[
            _random_mod(dice, request, edges, depth + 1)
            for _ in range(dice.choice([1, 2]) if dice.random() < 0.15 and depth < 2 else 0)
        ],
    )


def _rule(dice, request, edges):
    event = dice.choice(["Prefilled", *["ForwardPass", "Sampled", "Added"] * 4, "Finished"])
    when = dice.choice(
        [
            ["nth", dice.choice([0, 1, 2, 3, 5, 8])],
            ["nth", dice.choice([0, 1, 2, 3, 5, 8])],
            ["length", dice.choice([1, 3, 6])],
            ["token", dice.choice([2, 5]), 0],
            ["every", dice.choice([2, 3])],
            ["full"],
            ["always"],
            ["channel", dice.choice(["analysis", "final", "commentary", None])],
        ]
    )
    times = dice.choice([1, 1, 1, 2, 5, None])
    return Rule(on=event, when=when, do=_action(dice, event, request, edges), times=times)


def _action(dice, event, request, edges):
    """Return an action, with reports beside it at times."""
    action = _plain_action(dice, event, request, edges)
    if action[0] == "raise" or dice.random() < 0.8:
        return action
    data = dice.choice([{}, {}, {}, {"values": [1, None, "é"]}, {"large": 120_000}])
    report = ["report", data]
    return dice.choice(
        [report, ["list", [report, action]], ["list", [action, report, report]], ["list", [action]]]
    )


def _plain_action(dice, event, request, edges):
    """Return an action, mostly one that is legal at the event."""
    if dice.random() < 0.04:
        return _fault(dice)
    if event == "Finished":
        return dice.choice([["noop"], ["noop"], ["raise"]])
    if dice.random() < 0.1:
        return _ending(dice, request)
    if event == "Prefilled":
        return _prefill(dice, request, edges)
    kinds = ["force", "force", "backtrack", "backtrack"]
    kind = dice.choice([*kinds, *["logits"] * 4] if event == "ForwardPass" else kinds)
    return ["logits", _change(dice)] if kind == "logits" else _edit(dice, kind)


def _prefill(dice, request, edges):
    """Return a prompt, often with a prefix of the request's."""
    length = _length(dice, edges, min(90, len(request.prompt) + 20))
    kept = request.prompt[: dice.choice([0, len(request.prompt) // 2, len(request.prompt)])]
    return ["prefill", (kept + _tokens(dice, length))[: max(1, length)], dice.choice([0, 0, 4])]


def _edit(dice, kind):
    """Return an action that edits the completion."""
    forced = _tokens(dice, dice.choice([1, 1, 2, 3, 9, 25]))
    if dice.random() < 0.1:
        forced.insert(dice.randrange(len(forced) + 1), EOS)
    if kind == "force":
        return ["force", forced]
    n = dice.choice([0, 1, 1, 2, 3, 5, 12, 99])
    return ["backtrack", n, dice.choice([None, None, forced])]


def _ending(dice, request):
    most = dice.choice([0, 1, 4, 12, 40])
    return dice.choice(
        [
            ["output", _tokens(dice, most)],
            ["output", _tokens(dice, most)],
            ["tools", [{"name": "look", "arguments": {"x": 1}}]],
            ["error", "no more"],
        ]
    )


def _change(dice):
    """Return the fields of `AdjustedLogits`."""
    changes = [
        {"bias": {str(token): 9.0 for token in _tokens(dice, 2)}},
        {"ban": _tokens(dice, dice.choice([1, 4, 200]))},
        {"allow": _tokens(dice, dice.choice([1, 3, 40]))},
        {"mask": _tokens(dice, dice.choice([1, 3, 40]))},
        {"row": ["random", dice.randrange(99)]},
        {"row": ["negated"]},
        {"temp": dice.choice([0, 0.5, 2.0])},
    ]
    change = dict(dice.choice(changes))
    if dice.random() < 0.3:
        change |= dice.choice(changes)
    return change


def _fault(dice):
    return dice.choice(
        [
            ["raise"],
            ["force", [99999]],
            ["backtrack!", 500, None],
            ["logits", {"allow": []}],
            ["logits", {"row": ["nan"]}],
            ["logits", {"row": ["short"]}],
            ["logits", {"ban": list(range(VOCAB))}],
            ["prefill", [], 0],
            ["prefill", [7, 8, 9], 2],
            ["output", [3, -1]],
            ["report!", {}],
            ["list", [["report", {}], ["force", [1]], ["force", [2]]]],
            ["list", [["report", {}], ["force", [99999]]]],
        ]
    )
