"""A random model under a schema generates documents that match the schema.

Runs over all accepted schemas of the public test suite and those of `schemas.WRITTEN`, at
temperature 1: a model without preferences covers most of what a grammar allows.
"""

import json
from decimal import Decimal, InvalidOperation, localcontext

import jsonschema
import pytest
from concordance_inference.generation import SamplingParams
from concordance_sdk import FinishReason
from concordance_sdk.constraints import JsonSchema, constrain
from concordance_shared import ConstraintError
from families import build_model
from mlx.utils import tree_map
from schemas import WRITTEN, suite
from tiny import ask, finish, make_engine, submit

pytestmark = pytest.mark.slow

BUDGET = 700


def indifferent_model():
    """A llama with initial weights: all tokens are about equally probable."""
    model = build_model("llama", seed=0)
    model.update(tree_map(lambda weights: weights / 3, model.parameters()))
    return model


def schemas():
    """Every accepted schema, by name.

    Excludes the JavaScript regular expressions that Python interprets differently.
    """
    found = dict(WRITTEN)
    for group in suite():
        is_checked = group["file"] != "optional/ecmascript-regex"
        if is_checked and is_accepted(group["schema"]):
            found[f"{group['file']}: {group['description']}"] = group["schema"]
    return found


def is_accepted(schema):
    try:
        JsonSchema(schema)
    except ConstraintError:
        return False
    return True


@pytest.fixture(name="documents", scope="module")
def _documents():
    """A document of each schema, generated in a batch with others."""
    engine = make_engine(indifferent_model(), max_rows=32)
    answers = {}
    for seed, (name, schema) in enumerate(schemas().items()):
        request = ask(
            "Write: ",
            constrain(JsonSchema(schema)),
            max_tokens=BUDGET,
            sampling=SamplingParams(temperature=1, seed=seed),
        )
        answers[name] = (schema, submit(engine, request))
    finish(engine)
    return {name: (schema, answer.end) for name, (schema, answer) in answers.items()}


def exact(text):
    """Decode JSON with decimal numbers, so that multiples of 0.1 are exact."""

    def number(written):
        try:
            return Decimal(written)
        except InvalidOperation:  # an exponent of many digits
            return float(written)

    return json.loads(text, parse_float=number)


def test_every_finished_document_validates(documents):
    finished = [
        (name, exact(json.dumps(schema)), exact(end.text))
        for name, (schema, end) in documents.items()
        if end.finish_reason is FinishReason.STOP
    ]
    judge = jsonschema.Draft202012Validator
    with localcontext(prec=5000):  # a number may have as many digits as the budget allows
        invalid = [
            (name, document)
            for name, schema, document in finished
            if not judge(schema, format_checker=judge.FORMAT_CHECKER).is_valid(document)
        ]

    assert invalid == []


def test_nearly_all_of_more_than_two_hundred_documents_finish(documents):
    unfinished = [
        name for name, (_, end) in documents.items() if end.finish_reason is not FinishReason.STOP
    ]

    assert len(documents) > 250
    assert len(unfinished) <= 0.05 * len(documents), unfinished


def test_unfinished_documents_ran_out_of_tokens(documents):
    for _, end in documents.values():
        if end.finish_reason is not FinishReason.STOP:
            assert (end.finish_reason, end.completion_tokens) == (FinishReason.LENGTH, BUDGET)
