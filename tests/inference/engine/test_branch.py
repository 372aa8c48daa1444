"""A branch equals a request whose first tokens are forced, and never changes its parent."""

from types import SimpleNamespace

import pytest
from concordance_inference.branching.branch import BRANCH, Branch, BranchPoint
from concordance_inference.branching.request import branched_request
from concordance_inference.engine.caches import kv_buffers
from concordance_inference.engine.config import EngineConfig
from concordance_inference.engine.engine import Engine
from concordance_inference.generation import SamplingParams, Started, TokensDelta
from concordance_inference.resume.ended import EndedCompletions
from concordance_sdk import ForwardPass, mod
from concordance_shared import InvalidRequestError
from families import model_named
from msgspec.structs import replace
from naive.executor import Executor
from naive.models import Oracle
from naive.play import World
from naive.programs import from_json, sampling_params
from tiny import EOS, TRAITS, ask, call, finish, run, runner_of, submit

#: One family for each kind of cache: full attention, windows, chunks, states, both, lists of them.
CACHES = ["llama", "gpt_oss", "llama4", "mamba", "qwen3_next", "deepseek_v3"]

ENDLESS = replace(TRAITS, eos_ids=frozenset())
PROMPT = "A prompt of more than sixteen tokens: "
RANDOM = SamplingParams(seed=5, temperature=0.8)


class Branching:
    """An engine whose completions can be branched from while they run and afterwards."""

    def __init__(self, family="llama", *, traits=ENDLESS, **config):
        self.traits = traits
        self.ended = EndedCompletions(300)
        self.engine = Engine(
            runner_of(model_named(family)),
            traits,
            EngineConfig(**config),
            lambda one: self.ended.keep("m", one),
        )

    def parent(self, request):
        read = []
        self.engine.control.read_completion([request.request_id], self.engine.rows, read.append)
        return read[0] or self.ended.kept("m", request.request_id, field="branch_from.id")

    def branch(self, request, position, token_ids=(), **changes):
        """The request that branches off another one."""
        point = BranchPoint(id="x", position=position, token_ids=list(token_ids))
        return branched_request(self.parent(request), point, changes, self.traits)

    def until(self, request, num_tokens):
        """Run a request until its completion has some tokens."""
        answers = submit(self.engine, request)
        while not (rows := self.engine.rows) or rows[0].state.num_completion < num_tokens:
            self.engine.step()
        return answers


def forces(token_ids):
    """A mod that forces the first tokens."""

    @mod(name="forces", max_backtrack=0, registered=False, on=[ForwardPass])
    def forcer(event, actions):
        return actions.noop() if event.step else actions.force_tokens(token_ids)

    return forcer


def forced(request, token_ids, num_sampled):
    """A request without caches whose completion begins with tokens, and the draws before them."""
    branch = Branch(
        parent="p",
        named="p",
        token_ids=(),
        forced_by=(),
        added=tuple(token_ids),
        num_sampled=num_sampled,
    )
    return replace(request, request_id=f"{request.request_id}-forced", branch=branch)


@pytest.mark.parametrize("family", CACHES)
def test_a_branch_at_any_token_equals_a_request_with_its_tokens_forced(family):
    engine, bare = Branching(family), Branching(family, prefix_bytes=0)
    request = ask(PROMPT, max_tokens=9, sampling=RANDOM)
    parent = run(engine.engine, request)

    for position in range(9):
        branch = run(engine.engine, engine.branch(request, position, [7]))
        begun = [*parent.ids[:position], 7]
        fresh = run(bare.engine, forced(request, begun, num_sampled=position + 1))
        assert branch.ids == fresh.ids, position
        assert branch.ids[: position + 1] == tuple(begun)
        assert branch.end.completion_tokens == 9
        assert branch.end.prompt_tokens == len(PROMPT)


def test_a_greedy_branch_equals_a_request_whose_mod_forces_its_tokens():
    engine = Branching()
    request = ask(PROMPT, max_tokens=12)
    parent = run(engine.engine, request)
    begun = [*parent.ids[:5], 70, 71]

    branch = run(engine.engine, engine.branch(request, 5, [70, 71]))
    fresh = run(engine.engine, ask(PROMPT, forces(begun), max_tokens=12))

    assert branch.ids == fresh.ids
    assert branch.end.text == fresh.end.text


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("top_logprobs", [None, 2])
def test_a_branch_has_the_text_and_logprobs_of_its_whole_completion(stream, top_logprobs):
    engine = Branching()
    fields = {"top_logprobs": top_logprobs, "return_token_ids": True}
    request = ask(PROMPT, max_tokens=12)
    parent = run(engine.engine, request)
    begun = [*parent.ids[:5], 70]

    branch = run(engine.engine, engine.branch(request, 5, [70], stream=stream, **fields))
    plain = ask(PROMPT, forces(begun), max_tokens=12, stream=stream, **fields)
    fresh = run(engine.engine, plain)

    assert branch.shown == fresh.shown == (fresh.end.text if stream else "")
    assert branch.ids == fresh.ids
    assert [one.token_id for one in branch.end.logprobs] == list(fresh.ids if top_logprobs else ())
    for mine, other in zip(branch.end.logprobs, fresh.end.logprobs, strict=True):
        assert mine.logprob == pytest.approx(other.logprob, abs=1e-5)
    assert branch.end.forced_by == (*[None] * 5, BRANCH, *[None] * 6)
    assert branch.end.forced_tokens == 1


def test_a_stream_of_tokens_begins_with_those_of_the_parent():
    engine = Branching()
    request = ask(PROMPT, max_tokens=6)
    parent = run(engine.engine, request)
    changes = {"stream": True, "show_tokens": True}

    branch = run(engine.engine, engine.branch(request, 2, [70], **changes))

    deltas = [each for each in branch.updates if isinstance(each, TokensDelta)]
    tokens = [token for delta in deltas for token in delta.tokens]
    assert tuple(token.token_id for token in tokens) == branch.ids
    assert [token.mod for token in tokens[:4]] == [None, None, BRANCH, None]
    assert branch.ids[:2] == parent.ids[:2]


def test_a_branch_of_a_branch_has_the_tokens_of_both():
    engine = Branching()
    request = ask(PROMPT, max_tokens=12, sampling=RANDOM)
    parent = run(engine.engine, request)
    first = engine.branch(request, 4, [70])
    one = run(engine.engine, first)
    second = engine.branch(first, 8, [71])
    two = run(engine.engine, second)

    assert two.ids[:9] == (*parent.ids[:4], 70, *one.ids[5:8], 71)
    assert len(two.ids) == 12
    assert two.end.read_tokens == 1
    assert run(engine.engine, engine.branch(second, 4, parent.ids[4:5])).ids == parent.ids


def test_a_branch_that_ends_the_completion_generates_nothing():
    engine = Branching(traits=TRAITS)
    request = ask(
        PROMPT, max_tokens=6, sampling=SamplingParams(temperature=0, logit_bias={EOS: -99})
    )
    run(engine.engine, request)

    ended = run(engine.engine, engine.branch(request, 2, [EOS]))
    full = run(engine.engine, engine.branch(request, 5, [70]))

    assert ended.end.finish_reason == "stop"
    assert ended.end.completion_tokens == 3
    assert full.end.finish_reason == "length"
    assert full.ids[-1] == 70


def test_a_stop_string_ends_a_branch_that_contains_it():
    engine = Branching()
    request = ask(PROMPT, max_tokens=9, stop=("STOP",))
    run(engine.engine, request)

    branch = run(engine.engine, engine.branch(request, 3, b"a STOP b", max_tokens=20))

    assert branch.end.stopped_by == "STOP"
    assert branch.end.text.endswith("a ")


@pytest.mark.parametrize("put", ["in the parent", "by the branch"])
def test_a_stop_string_within_the_tokens_of_a_branch_ends_it_before_its_mods_act(put):
    @mod(name="erases", max_backtrack=None, registered=False, on=[ForwardPass])
    def erases(event, actions):
        return actions.backtrack(4) if event.step == 8 else actions.noop()

    engine = Branching()
    request = ask(PROMPT, forces(b"abc STOP"), max_tokens=9, stop=("STOP",))
    parent = run(engine.engine, request)
    assert (parent.end.stopped_by, len(parent.ids)) == ("STOP", 8)
    position = 8 if put == "in the parent" else 4
    added = parent.ids[position:]

    branch = run(
        engine.engine, engine.branch(request, position, added, mods=(call(erases),), max_tokens=9)
    )
    assert (branch.ids, branch.end.stopped_by) == (parent.ids, "STOP")


def test_a_branch_changes_the_sampling_of_the_tokens_that_follow_it():
    engine = Branching()
    request = ask(PROMPT, max_tokens=24, sampling=RANDOM)
    parent = run(engine.engine, request)

    other = run(engine.engine, engine.branch(request, 4, sampling={"seed": 6}))
    longer = run(engine.engine, engine.branch(request, 4, max_tokens=30))

    assert other.ids[:4] == parent.ids[:4]
    assert other.ids != parent.ids
    assert longer.ids[:24] == parent.ids
    assert len(longer.ids) == 30


OUT_OF_RANGE = {
    "branch_from.position": ({"position": 7}, "give 0 to 6"),
    "branch_from.token_ids[1]": ({"position": 1, "token_ids": [1, 300]}, "300 is not the id"),
    "branch_from.text": ({"position": 1, "token_ids": [1], "text": "a"}, "leave one of them out"),
    "max_tokens": ({"position": 3, "token_ids": [1, 2, 3, 4]}, "give more than 7, not 6"),
}


@pytest.mark.parametrize("param", OUT_OF_RANGE)
def test_a_branch_out_of_range_is_refused_with_what_would_be_right(param):
    engine, (fields, message) = Branching(), OUT_OF_RANGE[param]
    request = ask(PROMPT, max_tokens=6)
    run(engine.engine, request)
    point = BranchPoint(id="x", **fields)

    with pytest.raises(InvalidRequestError, match=message) as caught:
        branched_request(engine.parent(request), point, {}, engine.traits)
    assert caught.value.param == param


def test_no_branch_begins_after_the_token_that_ended_its_parent():
    engine = Branching(traits=TRAITS)
    request = ask(
        PROMPT, max_tokens=6, sampling=SamplingParams(temperature=0, logit_bias={EOS: 99})
    )
    run(engine.engine, request)

    with pytest.raises(InvalidRequestError, match="the token at 0 ends the completion"):
        engine.branch(request, 1, [70])


@pytest.mark.parametrize("family", CACHES)
def test_a_branch_that_repeats_the_token_of_its_parent_is_its_parent(family):
    engine = Branching(family)
    request = ask(PROMPT, max_tokens=12, sampling=RANDOM)
    parent = run(engine.engine, request)

    for position in (0, 1, 6, 11):
        token_ids = parent.ids[position : position + 2]
        assert run(engine.engine, engine.branch(request, position, token_ids)).ids == parent.ids
        assert run(engine.engine, engine.branch(request, position)).ids == parent.ids


@pytest.mark.parametrize("family", CACHES)
@pytest.mark.parametrize("prefix_bytes", [None, 0])
def test_a_running_parent_and_its_branches_are_what_they_are_alone(family, prefix_bytes):
    alone = Branching(family)
    request = ask(PROMPT, max_tokens=24, sampling=RANDOM)
    parent = run(alone.engine, request)
    branches = [run(alone.engine, alone.branch(request, at, [9])).ids for at in (2, 7, 12)]

    engine = Branching(family, prefix_bytes=prefix_bytes)
    beside = engine.until(request, 12)
    answers = [submit(engine.engine, engine.branch(request, at, [9])) for at in (2, 7, 12)]
    finish(engine.engine)

    assert beside.ids == parent.ids
    assert [each.ids for each in answers] == branches


@pytest.mark.parametrize("family", ["llama", "deepseek_v3"])
@pytest.mark.parametrize("runs", [True, False])
def test_a_branch_within_a_long_context_reads_one_token(family, runs):
    engine = Branching(family)
    prompt = bytes(range(200)) * 10
    request = ask(list(prompt[:1700]), max_tokens=330)
    if runs:
        engine.until(request, 300)
    else:
        run(engine.engine, request)

    for position in (300, 10, 299):
        branch = engine.branch(request, position, [9], max_tokens=position + 2)
        answers = submit(engine.engine, branch)
        finish(engine.engine) if not runs else None
        while not answers.updates or not hasattr(answers.end, "finish_reason"):
            engine.engine.step()
        assert answers.end.read_tokens == 1, position
        assert answers.end.cached_tokens == 1700


@pytest.mark.parametrize("family", CACHES)
def test_the_tokens_that_a_branch_reads_are_those_that_passes_process(family):
    engine = Branching(family)
    request = ask(PROMPT * 2, max_tokens=40)
    run(engine.engine, request)
    branch = engine.branch(request, 20, [9], max_tokens=22)

    before = engine.engine.metrics()
    answers = run(engine.engine, branch)

    assert isinstance(answers.updates[0], Started) or not branch.stream
    read, begun = answers.end.read_tokens, len(PROMPT * 2) + 21
    assert 1 <= read <= 21 + 16, "what follows the prompt's snapshot"
    assert engine.engine.metrics().cached_tokens - before.cached_tokens == begun - read


@pytest.mark.parametrize("family", CACHES)
def test_a_branch_gives_the_tokens_of_the_naive_executor(family):
    engine = Branching(family)
    request = ask(PROMPT, max_tokens=8, sampling=replace(RANDOM, top_p=0.9))
    parent = run(engine.engine, request)
    begun = [*parent.ids[:3], 65]

    branch = run(engine.engine, engine.branch(request, 3, [65]))

    assert list(branch.ids) == naive(family, request, begun, num_draws=4)


def naive(family, request, begun, num_draws):
    """What an executor without caches samples after given tokens."""
    sampling = {name: getattr(request.sampling, name) for name in ("temperature", "seed", "top_p")}
    one = {"prompt": [*request.prompt_ids], "max_tokens": request.max_tokens, "sampling": sampling}
    program = from_json(
        {"model": family, "requests": [one], "eos": [], "growth": kv_buffers.GROWTH}
    )
    (asked,) = program.requests
    asked = SimpleNamespace(**{**vars(asked), "sampling": sampling_params(asked)})
    executor = Executor(asked, [], Oracle(family), World(program))
    executor.append(begun, forced=True)
    executor.draws = num_draws
    while not executor.reason:
        executor.decide_position()
    return executor.ids
