import pytest


def test_the_page_loads_its_own_files_only(client):
    page = client.get("/docs")

    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'")
    assert "http" not in page.text


@pytest.mark.parametrize(
    ("name", "media_type"), [("api.js", "text/javascript"), ("api.css", "text/css")]
)
def test_each_file_has_its_media_type(client, name, media_type):
    got = client.get(f"/docs/{name}")

    assert got.status_code == 200
    assert got.headers["content-type"].startswith(media_type)


@pytest.mark.parametrize("name", ["api.html", "pages", "%2e%2e%2fapp.py"])
def test_no_other_file_is_sent(client, name):
    got = client.get(f"/docs/{name}")

    assert got.status_code == 404
    assert got.json()["error"]["message"]
