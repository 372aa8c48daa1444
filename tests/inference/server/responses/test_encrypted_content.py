import pytest
from concordance_inference.server.responses.encrypted_content import (
    decoded_reasoning,
    encoded_reasoning,
)


@pytest.mark.parametrize("text", ["", "hm", "Überlegung 🤔"])
def test_reasoning_is_decoded_as_it_was_encoded(text):
    assert decoded_reasoning(encoded_reasoning(text)) == text


@pytest.mark.parametrize("encoded", ["", "gAAAAABo", "concordance-1-!", "concordance-1-_w=="])
def test_reasoning_of_another_server_is_refused(encoded):
    with pytest.raises(ValueError, match="reasoning"):
        decoded_reasoning(encoded)
