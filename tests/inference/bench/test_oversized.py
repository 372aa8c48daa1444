import itertools
import json

import pytest
from concordance_inference.bench.oversized import requests
from concordance_inference.server.app import ROUTES
from concordance_inference.server.description.openapi import description

SPEC = description(ROUTES)


def test_each_field_of_each_body_has_values_of_absurd_sizes():
    fields = set()
    for name, path, body in requests(SPEC, "m"):
        assert name.startswith(path)
        assert len(body) > 500_000
        fields.add(name.partition(": ")[0])

    assert {"/v1/chat/completions, messages", "/v1/completions, prompt"} <= fields


@pytest.mark.parametrize("count", [0, 57])
def test_the_bodies_are_json(count):
    made = requests(SPEC, "m")
    name, _, body = next(itertools.islice(made, count, None))

    assert json.loads(body)["model"], name
