"""The error classes, and the tree that the docstring of `errors` draws."""

import inspect
import re

import concordance_shared.errors as module
import pytest
from concordance_shared import ConcordanceError, ModError, RequestError

CLASSES = [
    c for _, c in inspect.getmembers(module, inspect.isclass) if c.__module__ == module.__name__
]


@pytest.mark.parametrize("error", CLASSES, ids=lambda c: c.__name__)
def test_every_error_is_in_the_docstring_tree(error):
    assert re.search(rf"\b{error.__name__}\b", module.__doc__)


@pytest.mark.parametrize("error", CLASSES, ids=lambda c: c.__name__)
def test_every_error_is_exported_with_its_http_status_code_and_type(error):
    import concordance_shared

    made = error("what happened", param="messages[0]")

    assert getattr(concordance_shared, error.__name__) is error
    assert (str(made), made.param) == ("what happened", "messages[0]")
    assert 400 <= made.status_code < 600
    assert made.code
    assert made.type


def test_request_and_mod_errors_have_a_4xx_status():
    assert all(
        400 <= c.status_code < 500 for c in CLASSES if issubclass(c, RequestError | ModError)
    )
    assert issubclass(ModError, ConcordanceError)


def test_mod_errors_have_a_status_that_clients_do_not_retry():
    retried = {408, 409, 429}

    assert not any(c.status_code in retried for c in CLASSES if issubclass(c, ModError))
