"""A server with the embedded model, and a page of it in the system's Chromium."""

import os
import shutil
from pathlib import Path

import pytest
from servers import Server

#: Pictures of each flow, to look at.
SCREENSHOTS = Path(__file__).parents[2] / "screenshots"

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def browser_path():
    """The browser of the system: `CONCORDANCE_BROWSER`, or the first that is installed."""
    installed = filter(None, map(shutil.which, BROWSERS))
    return os.environ.get("CONCORDANCE_BROWSER") or next(installed, None)


@pytest.fixture(name="browser", scope="session")
def _browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    path = browser_path()
    if not path:
        pytest.skip(f"needs a browser: none of {', '.join(BROWSERS)} is installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(name="store", scope="session")
def _store(tmp_path_factory):
    """The file in which the server keeps traces."""
    return tmp_path_factory.mktemp("traces") / "traces.db"


@pytest.fixture(name="server", scope="session")
def _server(browser, store):
    server = Server("--trace-store", store)
    yield server
    assert server.stop() == 0


@pytest.fixture(name="page")
def _page(browser, server):
    """A page of a new user that may reach the server only, and reports no error."""
    context = browser.new_context(base_url=server.url, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(60_000)
    faults, foreign = [], []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
    page.on("request", lambda r: None if r.url.startswith(server.url) else foreign.append(r.url))
    yield page
    context.close()
    assert not foreign
    assert not [fault for fault in faults if "status of 4" not in fault]  # refused, and shown


@pytest.fixture(name="shot")
def _shot():
    """Take a picture of a page, or of an element."""
    SCREENSHOTS.mkdir(exist_ok=True)

    def shot(of, name):
        whole = {"full_page": True} if hasattr(of, "goto") else {}
        of.screenshot(path=SCREENSHOTS / f"{name}.png", **whole)

    return shot


@pytest.fixture(name="picture")
def _picture(page, shot):
    """Take a picture of the page of the server."""
    return lambda name: shot(page, name)
