"""The variables of chat templates that requests may set."""

import pytest
from concordance_inference.chat.variables import variables_of


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("{{ a }}{% if b is defined %}{% endif %}", {"a", "b"}),
        ("{% set a = 1 %}{{ a }}", set()),
        ("{% for m in messages %}{{ m.x }}{{ loop.index }}{% endfor %}", set()),
        ("{{ tools }}{{ raise_exception('x') }}{{ strftime_now('%Y') }}", set()),
        ("{% set ns = namespace(a=b) %}{{ ns.a }}", {"b"}),
        ("{% for i in range(n) %}{% break %}{% endfor %}", {"n"}),
        ("{% generation %}{{ a }}{% endgeneration %}", {"a"}),
        ("{% macro f(x) %}{{ x }}{{ y }}{% endmacro %}", {"y"}),
        ("{% if a %}{% set b = 1 %}{% endif %}{{ b }}", {"a", "b"}),
        ("no variable", set()),
    ],
)
def test_variables_are_those_that_a_template_reads_and_does_not_set(source, names):
    assert variables_of(source) == names


@pytest.mark.parametrize("source", ["{{ a", "{% if %}", "{% nothing %}"])
def test_a_template_with_a_fault_has_none(source):
    assert variables_of(source) == frozenset()
