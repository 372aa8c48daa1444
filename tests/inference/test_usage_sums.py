"""Sums of what mods did in several completions."""

import msgspec
from concordance_inference.generation import ModUsage
from concordance_inference.usage_sums import summed


def usage_of(mod, number):
    fields = msgspec.structs.fields(ModUsage)
    names = [field.name for field in fields if field.name not in ("mod", "failed")]
    return ModUsage(mod=mod, **dict.fromkeys(names, number))


def test_every_count_of_a_mod_is_added():
    assert summed([usage_of("a", 1), usage_of("a", 2)]) == (usage_of("a", 3),)


def test_mods_have_the_order_in_which_they_come_first():
    found = summed([usage_of("b", 1), usage_of("a", 1), usage_of("b", 4)])

    assert found == (usage_of("b", 5), usage_of("a", 1))


def test_no_usage_is_none():
    assert summed([]) == ()
