"""Whatever a random model is made to write under a schema is a document of that schema.

Over all schemas of the public test suite that are not refused, and those of `schemas.WRITTEN`, at
temperature 1: a model that wants nothing in particular is the hardest judge.
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

BUDGET = 700


def indifferent_model():
    """A llama with weights as small as training starts with: every token is about as likely."""
    model = build_model("llama", seed=0)
    model.update(tree_map(lambda weights: weights / 3, model.parameters()))
    return model


def schemas():
    """Every schema that is not refused, by its name.

    Without those of JavaScript's own regular expressions, which Python reads otherwise.
    """
    found = dict(WRITTEN)
    for group in suite():
        is_judged = group["file"] != "optional/ecmascript-regex"
        if is_judged and taken(group["schema"]):
            found[f"{group['file']}: {group['description']}"] = group["schema"]
    return found


def taken(schema):
    try:
        JsonSchema(schema)
    except ConstraintError:
        return False
    return True


@pytest.fixture(name="documents", scope="module")
def _documents():
    """A document of each schema, written by a model that shares its batch with others."""
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
    """JSON with numbers as they are written, so that a multiple of 0.1 is one."""

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


def test_there_are_more_than_two_hundred_and_nearly_all_finish(documents):
    unfinished = [
        name for name, (_, end) in documents.items() if end.finish_reason is not FinishReason.STOP
    ]

    assert len(documents) > 250
    assert len(unfinished) <= 0.05 * len(documents), unfinished


def test_what_does_not_finish_ran_out_of_tokens(documents):
    for _, end in documents.values():
        if end.finish_reason is not FinishReason.STOP:
            assert (end.finish_reason, end.completion_tokens) == (FinishReason.LENGTH, BUDGET)
