"""What holds for every mod that is ready to use."""

import pytest
from concordance_sdk import definition_of, mod, ready, registry, use
from concordance_sdk.registry import collecting
from concordance_sdk.testing import play

MODS = [getattr(ready, name) for name in ready.__all__]


@pytest.mark.parametrize("target", MODS, ids=ready.__all__)
def test_it_is_a_mod_that_nobody_serves_by_importing_it(target):
    assert definition_of(target).parameters is not None
    assert definition_of(target) not in list(registry)


def test_a_subclass_with_a_name_of_its_own_is_served():
    with collecting() as collected:

        @mod(name="lyon")
        class Lyon(ready.Replace):
            find: str = "Paris"
            replacement: str = "Lyon"

    assert [d.name for d in collected] == ["lyon"]
    assert play(Lyon, says="In Paris.").text == "In Lyon."


def test_they_can_be_contained_in_another():
    @mod
    class Mine:
        def mods(self):
            return [
                use(ready.InjectAtStart, text="Well, "),
                use(ready.Replace, find="no", replacement="yes"),
                use(ready.StopAfterSentences),
            ]

    assert play(Mine, says="no. And more.").text == "Well, yes."
