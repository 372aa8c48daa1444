"""Messages for mistakes of scripts that show only where the script yields or ends.

No frame of the script is in the traceback of an error that is raised here, so each message has the
author's file and line itself.
"""

import inspect
from types import GeneratorType
from typing import Any, NoReturn

from concordance_shared import Action

from concordance_sdk.script.mark import Guard, Mark
from concordance_sdk.script.run import ScriptRun
from concordance_sdk.script.step import Step

_NO_YIELD = "attributes of `run`, such as run.text, need no `yield`"


def raise_not_yielded(step: Step) -> NoReturn:
    """Reject the end of a script that made a step without yielding it.

    Raises:
        TypeError: Always.
    """
    raise TypeError(not_yielded(step)) from None


def raise_unused(guard: Guard) -> NoReturn:
    """Reject the end of a script that made a guard without entering it.

    Raises:
        TypeError: Always.
    """
    raise TypeError(unused(guard)) from None


def raise_endless(steps: object, num_steps: int) -> NoReturn:
    """Reject steps without end at one event.

    Args:
        steps: The generator of the script.
        num_steps: The steps that it completed.

    Raises:
        RuntimeError: Always.
    """
    raise RuntimeError(
        f"the script completed {num_steps} steps at one event, the last at {_place_in(steps)}; "
        "yield a step that waits for the model, such as run.generate(), or end the loop"
    )


def raise_yielded_after_the_end(steps: object) -> NoReturn:
    """Reject a `yield` while the script is closed.

    Raises:
        RuntimeError: Always.
    """
    raise RuntimeError(
        f"the script yields a step at {_place_in(steps)} after the request has ended, in `finally` "
        "or `except`; only `run.report(...)` works there, without `yield`"
    ) from None


def not_yielded(step: Step) -> str:
    """Describe a step that was made and not yielded."""
    return (
        f"the script made {step.name} at {step.made_at} and did not yield it, so that it has no "
        f"effect: write `yield {step.name}`"
    )


def unused(guard: Guard) -> str:
    """Describe a guard that was made and not entered."""
    return (
        f"the script made run.guard() at {guard.made_at} and did not enter it, so that it has no "
        "effect: write `with run.guard():`"
    )


def described(step: object) -> str:
    """Describe what a script yielded instead of a step, and the remedy."""
    if inspect.isgenerator(step):
        return f"a generator, `{step.__name__}`: run the steps of another one by `yield from`"
    if isinstance(step, Action):
        return (
            f"{type(step).__name__}, an action of handlers; a script yields steps, such as "
            "run.force(...)"
        )
    if inspect.ismethod(step) and isinstance(step.__self__, ScriptRun):
        return f"run.{step.__name__} without calling it: write `yield run.{step.__name__}(...)`"
    if isinstance(step, list | tuple) and any(isinstance(each, Step) for each in step):
        return f"a {type(step).__name__}: yield each step by itself"
    return _without_yield(step)


def _without_yield(value: object) -> str:
    """Describe a value that needs no `yield`, or that is nothing a script can yield."""
    if isinstance(value, Mark):
        return "a Mark; run.mark() needs no `yield`: write `mark = run.mark()`"
    if isinstance(value, Guard):
        return "a Guard; run.guard() needs no `yield`: write `with run.guard():`"
    if isinstance(value, str):
        return (
            f"{value!r:.60}, which is not a step: append a text by `yield run.force(...)`; "
            f"{_NO_YIELD}"
        )
    return f"{value!r:.60}, which is not a step; yield a step, such as run.generate(); {_NO_YIELD}"


def _place_in(steps: object) -> str:
    """The file and line of the `yield` at which a generator waits."""
    place = "an unknown line"
    while isinstance(steps, GeneratorType):
        generator: GeneratorType[Any, Any, Any] = steps
        if generator.gi_frame:
            code = generator.gi_code
            place = f"{code.co_filename}:{generator.gi_frame.f_lineno}"
        steps = generator.gi_yieldfrom
    return place
