"""Models as Anthropic's official client lists them."""

import anthropic
import pytest
from anthropic.types import ModelInfo
from fake_engine import INFO


def test_models_have_anthropics_shape_for_its_client(api):
    client = api()
    listed = list(client.models.list())
    plain = listed[0]

    assert "fake/greeting" in [model.id for model in listed]
    assert (plain.id, plain.display_name, plain.type) == ("fake", "fake", "model")
    assert plain.created_at.timestamp() == INFO.created
    assert plain.max_input_tokens == INFO.context_length
    for model in listed:
        ModelInfo.model_validate(model.model_dump())


def test_one_model_has_the_same_shape(api):
    assert api().models.retrieve("fake").display_name == "fake"
    with pytest.raises(anthropic.NotFoundError) as caught:
        api().models.retrieve("claude")
    assert caught.value.body["type"] == "error"


def test_other_clients_get_openais_shape(api):
    http = api().http

    assert http.get("/v1/models").json()["object"] == "list"
    assert "display_name" not in http.get("/v1/models/fake").json()
