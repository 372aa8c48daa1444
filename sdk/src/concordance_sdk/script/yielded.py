"""What a script yields: counted and checked."""

from typing import TYPE_CHECKING, Any

from concordance_sdk.script.mark import Guard
from concordance_sdk.script.messages import (
    described,
    not_yielded,
    raise_endless,
    raise_not_yielded,
    raise_unused,
    unused,
)
from concordance_sdk.script.step import Scene, SendReport, Step

if TYPE_CHECKING:
    from collections.abc import Generator

#: Steps that a script may complete at one event.
MAX_STEPS = 1000


def count_step(scene: Scene, steps: "Generator[Step, Any, None]") -> None:
    """Count a step that a script completes at this event.

    Raises:
        RuntimeError: It has completed `MAX_STEPS`, so that it would not end.
    """
    scene.num_steps += 1
    if scene.num_steps > MAX_STEPS:
        raise_endless(steps, MAX_STEPS)


def problem_of(step: object, scene: Scene) -> str | None:
    """Describe what is wrong with what a script yielded; `None` if nothing is."""
    made, guard = scene.made, _unused_guard(scene)
    if not isinstance(step, Step):
        return f"the script yielded {described(step)}"
    if step not in made:
        return (
            f"the script yielded a {step.name} for the second time, or one of another request; "
            "make a new one"
        )
    take_reports(scene, made.index(step))
    if made[0] is not step:
        return not_yielded(made[0])
    return unused(guard) if guard else None


def take_reports(scene: Scene, num_made: int) -> None:
    """Send the reports among the first steps that a script made without yielding them."""
    for step in scene.made[:num_made]:
        if isinstance(step, SendReport):
            scene.made.remove(step)
            scene.reports.append(step.report)


def check_end(scene: Scene) -> None:
    """Check what a script that has returned made without yielding or entering it.

    Raises:
        TypeError: It made a step, or a guard.
    """
    if scene.made:
        raise_not_yielded(scene.made[0])
    if guard := _unused_guard(scene):
        raise_unused(guard)


def _unused_guard(scene: Scene) -> Guard | None:
    """A guard that a script made since it yielded last, and did not enter."""
    made, scene.new_guards = scene.new_guards, []
    return next((guard for guard in made if not guard.is_entered), None)
