"""What a script yields: counted, checked, and described where it is wrong."""

import inspect
from typing import TYPE_CHECKING, Any, cast

from concordance_shared import Action

from concordance_sdk.script.mark import Guard, Mark
from concordance_sdk.script.run import ScriptRun
from concordance_sdk.script.step import Scene, SendReport, Step

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import GeneratorType

#: Steps that a script may complete at one event.
MAX_STEPS = 1000


def count_step(scene: Scene, steps: "Generator[Step, Any, None]") -> None:
    """Count a step that a script completes at this event.

    Raises:
        RuntimeError: It has completed `MAX_STEPS`, so that it would not end.
    """
    scene.num_steps += 1
    if scene.num_steps > MAX_STEPS:
        frame = cast("GeneratorType[Step, Any, None]", steps).gi_frame
        raise RuntimeError(
            f"the script completed {MAX_STEPS} steps at one event, the last at line "
            f"{frame.f_lineno if frame else 0}; yield a step that waits for the model, such as "
            "run.generate(), or end the loop"
        )


def problem_of(step: object, scene: Scene) -> str | None:
    """Describe what is wrong with what a script yielded; `None` if nothing is."""
    made = scene.made
    if not isinstance(step, Step):
        return f"the script yielded {_described(step)}"
    if step not in made:
        return (
            f"the script yielded a {step.name} for the second time, or one of another request; "
            "make a new one"
        )
    take_reports(scene, made.index(step))
    return None if made[0] is step else not_yielded(made[0])


def take_reports(scene: Scene, num_made: int) -> None:
    """Send the reports among the first steps that a script made without yielding them."""
    for step in scene.made[:num_made]:
        if isinstance(step, SendReport):
            scene.made.remove(step)
            scene.reports.append(step.report)


def not_yielded(step: Step) -> str:
    """Describe a step that a script made and did not yield."""
    return (
        f"the script made {step.name} at line {step.made_at} and did not yield it, so that it has "
        f"no effect: write `yield {step.name}`"
    )


def _described(step: object) -> str:
    """What a script yielded instead of a step, and the remedy."""
    if inspect.isgenerator(step):
        return f"a generator, `{step.__name__}`: run the steps of another one by `yield from`"
    if isinstance(step, Action):
        return (
            f"{type(step).__name__}, an action of handlers; a script yields steps, such as "
            "run.force(...)"
        )
    if inspect.ismethod(step) and isinstance(step.__self__, ScriptRun):
        return f"run.{step.__name__} without calling it: write `yield run.{step.__name__}(...)`"
    if isinstance(step, Mark | Guard):
        return f"a {type(step).__name__}, which needs no `yield`: yield steps only"
    if isinstance(step, list | tuple):
        return f"a {type(step).__name__}: yield each step by itself"
    return f"{step!r:.60}, which is not a step; yield a step, such as run.generate()"
