"""A Hugging Face hub on the loopback address, with the files of folders."""

import hashlib
import http.server
import json
import threading
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "0" * 39 + "1"


class FakeHub(http.server.ThreadingHTTPServer):
    """Serves `ROOT/OWNER/NAME` as the model `OWNER/NAME`."""

    daemon_threads = True

    def __init__(self, root):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.root = Path(root)
        self.downloads = []
        self.forbidden = set()  # files that cannot be downloaded
        self.thread = threading.Thread(target=self.serve_forever, daemon=True)
        self.thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def __exit__(self, *_):
        self.shutdown()
        self.thread.join()
        self.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = unquote(urlsplit(self.path).path).strip("/").split("/")
        if path[:2] == ["api", "models"] and len(path) >= 4:
            self._describe(self.server.root / path[2] / path[3], path[4:])
        elif len(path) > 4 and path[2] == "resolve":
            self._send_file(self.server.root.joinpath(*path[:2], *path[4:]))
        else:
            self._send(b"{}", 404)

    def _describe(self, folder, rest):
        if not folder.is_dir():
            self._send(b"{}", 404, **{"X-Error-Code": "RepoNotFound"})
            return
        files = [
            {"type": "file", "path": file.name, "size": file.stat().st_size, "oid": _etag(file)}
            for file in sorted(folder.iterdir())
        ]
        name = f"{folder.parent.name}/{folder.name}"
        siblings = [{"rfilename": file["path"]} for file in files]
        info = {"id": name, "sha": COMMIT, "siblings": siblings}
        self._send(json.dumps(files if rest[:1] == ["tree"] else info).encode())

    def _send_file(self, file):
        if not file.is_file():
            self._send(b"", 404, **{"X-Error-Code": "EntryNotFound"})
            return
        if self.command == "GET" and file.name in self.server.forbidden:
            self._send(b"", 403)
            return
        if self.command == "GET":
            self.server.downloads.append(file.name)
        headers = {"ETag": f'"{_etag(file)}"', "X-Repo-Commit": COMMIT}
        self._send(file.read_bytes(), **headers)

    def _send(self, body, status=200, **headers):
        self.send_response(status)
        for name, value in {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            **headers,
        }.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


def _etag(file):
    data = file.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
