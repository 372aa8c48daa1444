"""A quick check that a mod behaves, whatever a request and its other mods do.

It knows nothing of what the mod is for. It plays it in many small scenes: every length of prompt,
every kind of end, other mods that act at every step, streams, the same request twice, requests in
turns. What a mod may not do in any of them is fail, answer differently, or mix requests up.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from concordance_shared import Added, ConstraintError, EmittedError, ModError
from msgspec import Struct
from msgspec.structs import replace

from concordance_sdk.action_builder import Actions
from concordance_sdk.composition import ModUse, use
from concordance_sdk.mod import mod
from concordance_sdk.testing.byte_tokenizer import ByteTokenizer
from concordance_sdk.testing.played import Played
from concordance_sdk.testing.playing import Playing, Scene
from concordance_sdk.tokenizer import Tokenizer

#: Prompts of every length up to this are tried, in tokens.
_LONGEST_PROMPT = 48

#: Other mods act at every step below this.
_LONGEST_STEP = 32

#: Texts that hold what mods look for: sentences, numbers, rare characters, tags, lists, code.
_TEXTS = (
    "",
    'It is 3.5 km. Not far! She said "no".\n\n- one\n- two\n',
    "naïve € 你好 😀.",
    '<think>Hm.</think>{"a": [1, true]}\n```\ncode\n```',
)

_Outcome = tuple[str, object]


class Check(Struct, frozen=True, kw_only=True):
    """One thing that was tried, and the first thing that was wrong with it.

    Examples:
        >>> Check(name="streams", num_scenes=8, problem=None).problem is None
        True
    """

    name: str
    num_scenes: int
    problem: str | None  # None: nothing


class ConformanceReport(Struct, frozen=True, kw_only=True):
    """What was tried of a mod, and what was wrong. As text, a line for each check.

    Examples:
        >>> streams = Check(name="streams", num_scenes=8, problem="took back too much")
        >>> print(ConformanceReport(mod="m", checks=(streams,)))
        FAIL  streams (8 played)
              took back too much
    """

    mod: str
    checks: tuple[Check, ...]

    @property
    def is_passed(self) -> bool:
        """Whether nothing was wrong."""
        return all(check.problem is None for check in self.checks)

    def __str__(self) -> str:
        """A line for each check, and below it what was wrong."""
        lines: list[str] = []
        for check in self.checks:
            mark = "ok  " if check.problem is None else "FAIL"
            lines.append(f"{mark}  {check.name} ({check.num_scenes} played)")
            lines += [f"      {line}" for line in (check.problem or "").splitlines()]
        return "\n".join(lines)


def check_conformance(
    target: Any, *, tokenizer: Tokenizer | None = None, texts: Sequence[str] = ()
) -> ConformanceReport:
    """Try a mod in many small scenes, and tell what is wrong with it.

    Args:
        target: The mod, or `use(mod, parameter=value)`.
        tokenizer: The model's tokenizer; one whose tokens are bytes if left out.
        texts: More of what the model is to say: what the mod acts upon. What is text among the
            parameters is said in any case.

    Raises:
        InvalidRequestError: The mod needs parameters and was given none.

    Examples:
        >>> from concordance_sdk.builtin import Replace
        >>> from concordance_sdk import use
        >>> report = check_conformance(use(Replace, find="one", replacement="two"))
        >>> report.is_passed, len(report.checks)
        (True, 6)
    """
    used = target if isinstance(target, ModUse) else use(target)
    stage = _Stage(used, tokenizer or ByteTokenizer(), (*_TEXTS, *texts, *_texts_in(used)))
    return ConformanceReport(
        mod=used.definition.name,
        checks=tuple(_checked(name, check(stage)) for name, check in _CHECKS.items()),
    )


class _Stage:
    """A mod and the scenes in which it is tried."""

    def __init__(self, used: ModUse, tokenizer: Tokenizer, texts: Sequence[str]) -> None:
        self.used = used
        self.scenes = [
            Scene(script=text, goes_on=goes_on, tokenizer=tokenizer, max_tokens=96)
            for text in dict.fromkeys(texts)
            for goes_on in (True, False)
        ]

    def outcome(self, scene: Scene, mods: Sequence[ModUse] | None = None) -> _Outcome:
        """What became of a scene, or which error."""
        playings = [Playing([self.used] if mods is None else mods, scene)]
        return _outcomes_in_turns(playings)[0]


def _outcomes_in_turns(playings: Sequence[Playing]) -> list[_Outcome]:
    """What becomes of several requests that are played in turns, step by step."""
    while running := [playing for playing in playings if not playing.is_over]:
        for playing in running:
            playing.step()
    return [_outcome(playing.finish) for playing in playings]


def _outcome(finish: Callable[[], Played]) -> _Outcome:
    try:
        played = finish()
    except EmittedError as exc:  # a mod may well end a request on purpose
        return "ended with an error", exc.message
    except ModError as exc:
        is_kept = isinstance(exc.__cause__ or exc, ConstraintError)
        return ("kept to its constraint" if is_kept else "failed"), exc.message
    return "said", (played.token_ids, played.finish_reason, len(played.tool_calls))


def _checked(name: str, problems: Iterator[str | None]) -> Check:
    """Go through the scenes of a check until one is wrong."""
    num_scenes = 0
    for problem in problems:
        num_scenes += 1
        if problem is not None:
            return Check(name=name, num_scenes=num_scenes, problem=problem)
    return Check(name=name, num_scenes=num_scenes, problem=None)


def _failure(outcome: _Outcome, where: str, *, may_refuse: bool = False) -> str | None:
    """What was wrong. A constraint may refuse tokens that another mod puts into its answer."""
    wrong = ("failed",) if may_refuse else ("failed", "kept to its constraint")
    return f"{where}:\n{outcome[1]}" if outcome[0] in wrong else None


# The checks: each yields, for every scene, what was wrong in it.


def _every_event(stage: _Stage) -> Iterator[str | None]:
    """Requests that end by themselves, by their budget, and by another mod's error."""
    for scene in stage.scenes:
        yield _failure(stage.outcome(scene), f"saying {scene.script!r}")
        short = replace(scene, max_tokens=7)
        yield _failure(stage.outcome(short), f"saying {scene.script!r} with max_tokens=7")
        failing = [use(_Ends, step=3), stage.used]
        yield _failure(stage.outcome(scene, failing), "with a request that another mod ends")


def _every_prompt(stage: _Stage) -> Iterator[str | None]:
    scene = stage.scenes[-1]
    for length in range(_LONGEST_PROMPT + 1):
        prompted = replace(scene, prompt="x" * length)
        yield _failure(stage.outcome(prompted), f"behind a prompt of {length} characters")


def _other_mods(stage: _Stage) -> Iterator[str | None]:
    """Neighbours that take back, or force, at every step, in front of it and behind it.

    A mod that keeps an answer to a constraint may end a request into which they put what the
    constraint does not allow: it must not give way silently.
    """
    for scene in stage.scenes[2::2]:  # those in which the model goes on: they end
        for step in range(1, _LONGEST_STEP):
            for take_back in sorted({1, step // 2 + 1, step}):
                tokens = [97, 98, 99] if (step + take_back) % 2 else []
                neighbour = use(_Acts, step=step, take_back=take_back, tokens=tokens)
                act = f"that takes back {take_back} at step {step} and forces {len(tokens)}"
                orders = {"in front of": [neighbour, stage.used], "behind": [stage.used, neighbour]}
                for order, mods in orders.items():
                    where = f"saying {scene.script!r}, {order} it a mod {act}"
                    yield _failure(stage.outcome(scene, mods), where, may_refuse=bool(tokens))


def _streams(stage: _Stage) -> Iterator[str | None]:
    for scene in stage.scenes:
        streamed = replace(scene, is_streamed=True)
        yield _failure(stage.outcome(streamed), f"streaming {scene.script!r}")


def _twice(stage: _Stage) -> Iterator[str | None]:
    for scene in stage.scenes:
        first, second = stage.outcome(scene), stage.outcome(scene)
        yield _difference(first, second, f"the same request twice, saying {scene.script!r}")


def _in_turns(stage: _Stage) -> Iterator[str | None]:
    """Each request, played in turns with another one, does what it does alone."""
    for i, scene in enumerate(stage.scenes):
        other = stage.scenes[(i + 3) % len(stage.scenes)]
        alone = [stage.outcome(each) for each in (scene, other)]
        playings = [Playing([stage.used], each) for each in (scene, other)]
        together = _outcomes_in_turns(playings)
        where = f"saying {scene.script!r} in turns with a request that says {other.script!r}"
        yield _difference(alone[0], together[0], where) or _difference(alone[1], together[1], where)


_CHECKS: dict[str, Callable[[_Stage], Iterator[str | None]]] = {
    "every event and every end": _every_event,
    "every length of prompt, the empty one too": _every_prompt,
    "other mods act at every step": _other_mods,
    "a stream shows nothing that is taken back": _streams,
    "the same request twice": _twice,
    "requests in turns do not meet": _in_turns,
}


def _difference(first: _Outcome, second: _Outcome, where: str) -> str | None:
    if first == second:
        return None
    return f"{where}, it {first[0]}\n    {first[1]}\nand then it {second[0]}\n    {second[1]}"


def _texts_in(used: ModUse) -> list[str]:
    """What is text among a mod's parameters, in a sentence, so that it appears."""
    values = used.parameters.values()
    texts = [text for value in values for text in (value if isinstance(value, list) else [value])]
    return [f"A {text}, {text}. {text}" for text in texts if isinstance(text, str) and text]


@mod(name="neighbour", registered=False)
class _Ends:
    """Ends its request with an error, from a step on."""

    step: int

    def added(self, event: Added, actions: Actions) -> object:
        return actions.emit_error("ended by its neighbour") if event.step >= self.step else None


@mod(name="neighbour", max_backtrack=None, registered=False)
class _Acts:
    """Takes back, and forces, once: when the completion has grown to a length."""

    step: int
    take_back: int
    tokens: list[int]

    def __init__(self) -> None:
        self._is_done = False

    def added(self, event: Added, actions: Actions) -> object:
        length = event.step + len(event.added_tokens)
        if self._is_done or length < self.step:
            return None
        self._is_done = True
        return actions.backtrack(min(self.take_back, length), self.tokens)
