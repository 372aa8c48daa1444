"""Errors of the mods that enforce what a request asks of its completion."""

from types import SimpleNamespace

from concordance_inference.mods.enforcement_errors import refusal, violation
from concordance_sdk import Added
from concordance_shared import ConstraintError, InvalidRequestError, SchemaError

FORMAT = SimpleNamespace(field="response_format", param="response_format.schema", is_json=True)
CHOICE = SimpleNamespace(field="choice", param="choice", is_json=False)


def test_an_error_that_names_its_place_is_kept():
    placed = SchemaError("x", param="response_format.schema.type", mod="m", event="e", step=0)

    assert refusal(FORMAT, placed) is placed


def test_a_schema_that_cannot_be_enforced_is_an_error_of_the_schema():
    error = refusal(FORMAT, ConstraintError("too large"))

    assert isinstance(error, SchemaError)
    assert (error.param, error.mod) == ("response_format.schema", "response_format")
    assert "response_format.schema: too large" in str(error)


def test_another_format_that_cannot_be_enforced_is_an_error_of_the_request():
    error = refusal(CHOICE, ConstraintError("too large"))

    assert type(error) is InvalidRequestError
    assert (error.param, str(error)) == ("choice", "choice: too large")


def added(*, forced):
    return Added(request_id="r", step=4, added_tokens=(1,), forced=forced)


def test_tokens_that_a_mod_forced_against_the_format_name_the_mod_as_the_cause():
    fault = ConstraintError("'x' is not allowed; a mod that forces tokens must follow it")
    error = violation(fault, added(forced=True), "response_format")

    assert "response_format: 'x' is not allowed" in str(error)
    assert "leave out that mod, or response_format" in str(error)
    assert "a mod that forces tokens" not in str(error)
    assert (error.param, error.event, error.step) == ("response_format", "Added", 4)


def test_sampled_tokens_against_the_format_are_no_fault_of_a_mod():
    assert "leave out" not in str(violation(ConstraintError("no"), added(forced=False), "tools"))
