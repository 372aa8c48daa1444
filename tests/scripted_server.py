"""A server of HTTP that gives set responses, for clients of other servers and of proxies."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer


@contextmanager
def scripted_server(responses):
    """Serve `(method, path)` -> `(status, body)`; yield the URL and the list of requests.

    A body that is no text is sent as JSON. The key `(method, None)` is for all other paths.
    """
    requests = []

    class Handler(BaseHTTPRequestHandler):
        def _respond(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            requests.append((self.command, self.path, json.loads(body) if body else None))
            default = responses.get((self.command, None), (404, "not here"))
            status, data = responses.get((self.command, self.path), default)
            data = data if isinstance(data, str) else json.dumps(data)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(data.encode())

        do_GET = do_POST = do_DELETE = _respond  # noqa: N815  # names of the base class

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", requests
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()
