"""Requests to an application, several at a time, in the test's own event loop."""

import asyncio
import json
from urllib.parse import unquote


class Call:
    """A request, and the response so far."""

    def __init__(self, app, method, path, body=None, headers=()):
        self.status, self.headers, self.raw = None, {}, b""
        self._changed = asyncio.Event()
        self._inbox = asyncio.Queue()
        data = b"" if body is None else json.dumps(body).encode()
        self._inbox.put_nowait({"type": "http.request", "body": data, "more_body": False})
        names = [
            ("host", "localhost"),
            ("content-type", "application/json"),
            *dict(headers).items(),
        ]
        scope = {
            "type": "http",
            "method": method,
            "path": unquote(path),
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [(name.lower().encode(), value.encode()) for name, value in names],
            "http_version": "1.1",
            "scheme": "http",
            "root_path": "",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
        }
        self.task = asyncio.ensure_future(app(scope, self._inbox.get, self._send))

    async def _send(self, message):
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {k.decode(): v.decode() for k, v in message["headers"]}
        self.raw += message.get("body", b"")
        self._changed.set()

    async def until(self, condition):
        """Wait until the response so far fulfils a condition."""
        while not condition(self):
            self._changed.clear()
            await asyncio.wait_for(self._changed.wait(), 20)

    def leave(self):
        """Disconnect."""
        self._inbox.put_nowait({"type": "http.disconnect"})

    async def end(self):
        """Wait for the end of the response."""
        await asyncio.wait_for(self.task, 30)
        return self

    @property
    def json(self):
        """The body of a response that is not streamed."""
        return json.loads(self.raw)

    @property
    def events(self):
        """The events of a stream so far."""
        lines = self.raw.decode().split("\n\n")[:-1]
        return [json.loads(line[6:]) for line in lines if line.startswith("data: {")]

    @property
    def shown(self):
        """The text that a client of a stream assembles."""
        text = ""
        for event in self.events:
            removed = event.get("concordance", {}).get("retracted", 0)
            for choice in event["choices"]:
                text = text[: len(text) - removed] + (choice["delta"].get("content") or "")
        return text

    @property
    def commands(self):
        """The actions that a stream shows."""
        found = [event.get("concordance", {}).get("control") for event in self.events]
        return [command for command in found if command]
