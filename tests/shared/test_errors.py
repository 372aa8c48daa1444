"""The tree of errors is the one that its docstring draws."""

import inspect
import re

import concordance_shared.errors as module
import pytest
from concordance_shared import ConcordanceError, ModError, RequestError

CLASSES = [
    c for _, c in inspect.getmembers(module, inspect.isclass) if c.__module__ == module.__name__
]


@pytest.mark.parametrize("error", CLASSES, ids=lambda c: c.__name__)
def test_every_error_stands_in_the_drawing(error):
    assert re.search(rf"\b{error.__name__}\b", module.__doc__)


@pytest.mark.parametrize("error", CLASSES, ids=lambda c: c.__name__)
def test_every_error_is_exported_and_carries_what_the_server_answers(error):
    import concordance_shared

    made = error("what happened", param="messages[0]")

    assert getattr(concordance_shared, error.__name__) is error
    assert (str(made), made.param) == ("what happened", "messages[0]")
    assert 400 <= made.status_code < 600
    assert made.code
    assert made.type


def test_the_fault_is_in_the_class():
    assert all(
        400 <= c.status_code < 500 for c in CLASSES if issubclass(c, RequestError | ModError)
    )
    assert issubclass(ModError, ConcordanceError)


def test_a_mods_failure_is_a_status_that_clients_do_not_retry():
    retried = {408, 409, 429}

    assert not any(c.status_code in retried for c in CLASSES if issubclass(c, ModError))
