"""pytest's fixture `play`: plays mods, and shows with a test that fails what it had played.

Installing the SDK offers it to pytest, which alone imports this module.
"""

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from concordance_sdk.testing import Played

_PLAYED = pytest.StashKey[list["Played"]]()


class Play(Protocol):
    """What the fixture is: `concordance_sdk.testing.play`, remembered."""

    def __call__(self, *mods: Any, **options: Any) -> "Played":
        """Play a completion; takes what `concordance_sdk.testing.play` takes."""
        ...


@pytest.fixture(name="play")
def _play(request: pytest.FixtureRequest) -> Play:
    """Plays completions with mods, as `concordance_sdk.testing.play` does."""
    from concordance_sdk.testing import play  # noqa: PLC0415  # for the tests that ask for it

    played: list[Played] = []
    request.node.stash[_PLAYED] = played

    def play_and_remember(*mods: Any, **options: Any) -> "Played":
        played.append(play(*mods, **options))
        return played[-1]

    return play_and_remember


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the logs of what was played to the report of a test that failed."""
    report = yield
    if report.failed:
        for number, played in enumerate(item.stash.get(_PLAYED, []), 1):
            report.sections.append((f"what was played ({number})", "\n".join(played.log)))
    return report
