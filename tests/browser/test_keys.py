"""The pages ask for the key that a request needs, and keep it for the tab."""

import contextlib
import socket
import threading
import time

import pytest
import uvicorn
from concordance_inference.keys.key import new_key
from concordance_inference.keys.keyring import Keyring
from concordance_inference.server.access.access import Access
from inspector_flows import enter_key, faults_of_access
from keyed import KeyedServer

pytestmark = [pytest.mark.browser, pytest.mark.process]


@contextlib.contextmanager
def serving(app):
    """Serve an application, and yield its URL."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = server.force_exit = True
    thread.join(20)


@pytest.fixture(name="tab")
def _tab(browser):
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(20_000)
    yield page
    context.close()


def test_an_upload_asks_for_the_upload_key_until_it_is_right(tab, tmp_path):
    path, secret = tmp_path / "keys.json", new_key("mods:write")[1]
    server = KeyedServer(path, access=Access(Keyring(path), upload_key=secret))
    with serving(server.app) as url:
        tab.goto(url)
        tab.wait_for_selector("[data-ready=true]")
        tab.get_by_text("Write a mod").click()
        upload = tab.get_by_role("button", name="Upload", exact=True)
        upload.click()
        tab.get_by_text("needs this server's upload key").wait_for()
        tab.get_by_role("button", name="Cancel").click()
        tab.locator("#mod-error.error").wait_for()
        upload.click()
        enter_key(tab, "wrong")
        tab.get_by_text("is not this server's upload key").wait_for()
        assert not faults_of_access(tab)
        enter_key(tab, secret)
        tab.get_by_text("Uploaded relocate.").wait_for()
        assert secret not in tab.url
        assert secret not in tab.evaluate("JSON.stringify(localStorage)")


def test_public_pages_of_a_server_with_keys_ask_for_one_once(tab, tmp_path):
    path = tmp_path / "keys.json"
    server = KeyedServer(path, access=Access(Keyring(path), shows_pages=True))
    _, secret = server.key("infer")
    with serving(server.app) as url:
        tab.goto(url)
        enter_key(tab, secret)
        tab.wait_for_selector("[data-ready=true]")
        assert tab.locator("#model").input_value() == "fake"
        tab.goto(f"{url}/docs")
        tab.get_by_text("/v1/chat/completions", exact=True).first.wait_for()
        assert tab.locator("dialog").count() == 0
