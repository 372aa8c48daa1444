"""The pytest fixture `play`: plays mods, and adds the event logs to the report of a failed test.

Registered with pytest when the SDK is installed; only pytest imports this module.
"""

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from concordance_sdk.testing import Played

_PLAYED = pytest.StashKey[list["Played"]]()


class Play(Protocol):
    """The type of the fixture: `concordance_sdk.testing.play`, with its results recorded."""

    def __call__(self, *mods: Any, **options: Any) -> "Played":
        """Play a completion, with the arguments of `concordance_sdk.testing.play`."""
        ...


@pytest.fixture(name="play")
def _play(request: pytest.FixtureRequest) -> Play:
    """Play completions with mods, as `concordance_sdk.testing.play` does."""
    from concordance_sdk.testing import play  # noqa: PLC0415  # only for tests that use it

    played: list[Played] = []
    request.node.stash[_PLAYED] = played

    def play_and_record(*mods: Any, **options: Any) -> "Played":
        played.append(play(*mods, **options))
        return played[-1]

    return play_and_record


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the logs of what was played to the report of a failed test."""
    report = yield
    if report.failed:
        for number, played in enumerate(item.stash.get(_PLAYED, []), 1):
            report.sections.append((f"what was played ({number})", "\n".join(played.log)))
    return report
