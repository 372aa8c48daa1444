import re

import pytest
from concordance_inference.server.inspector.inspector_page import _FILES


def test_the_inspector_loads_files_of_this_server_only(client):
    page = client.get("/")

    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'")
    assert "unsafe" not in policy
    loaded = re.findall(r'(?:src|href)="(inspector/[^"]*)"', page.text)
    assert "inspector/main.js" in loaded
    assert all(client.get(f"/{path}").status_code == 200 for path in loaded)


@pytest.mark.parametrize("name", sorted(_FILES.parts))
def test_no_file_of_the_inspector_names_another_server(client, name):
    text = client.get(f"/inspector/{name}").text.replace("http://www.w3.org/2000/svg", "")

    assert "http:" not in text
    assert "https:" not in text
    for module in re.findall(r'from "\./([^"]+)"|import "\./([^"]+)"', text):
        assert set(module) & _FILES.parts


@pytest.mark.parametrize(
    ("name", "media_type"),
    [("main.js", "text/javascript"), ("inspector.css", "text/css"), ("icon.svg", "image/svg+xml")],
)
def test_each_file_of_the_inspector_has_its_media_type(client, name, media_type):
    assert client.get(f"/inspector/{name}").headers["content-type"].startswith(media_type)


@pytest.mark.parametrize("name", ["index.html", "__init__.py", "%2e%2e%2finspector_page.py"])
def test_no_file_outside_the_inspector_is_sent(client, name):
    got = client.get(f"/inspector/{name}")

    assert got.status_code == 404
    assert got.json()["error"]["message"]
