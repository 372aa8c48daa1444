"""What is left of paths in messages for clients."""

import pytest
from concordance_inference.server.transport.errors import error_body
from concordance_inference.server.transport.file_paths import without_folders
from concordance_shared import InvalidRequestError, ModelLoadError


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (
            "there is no folder or GGUF file at /home/me/models/a",
            "there is no folder or GGUF file at a",
        ),
        ("/srv/m/a.gguf: no tensor 'x'", "a.gguf: no tensor 'x'"),
        ("No such file: '/home/me/my models/a/config.json'", "No such file: 'config.json'"),
        ('in "/srv/a/b", and (/srv/c/d)', 'in "b", and (d)'),
        ("model 'owner/name' at https://hub.example/owner/name", None),
        ("1/2, a/b and /v1", None),
        ("no path", None),
    ],
)
def test_paths_are_names_of_files(text, left):
    assert without_folders(text) == (left or text)


def test_the_error_of_a_load_has_no_path_of_the_server_and_others_have_what_clients_wrote():
    load = error_body(ModelLoadError("there is no file /srv/models/a/config.json"))
    other = error_body(InvalidRequestError("no route /srv/models/a"))

    assert load["error"]["message"] == "there is no file config.json"
    assert other["error"]["message"] == "no route /srv/models/a"
