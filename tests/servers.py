"""Servers as a user starts them: the command, in its own process, on a free port."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time

from openai import OpenAI

COMMAND = [sys.executable, "-m", "concordance_inference"]
START_S = 300


class Server:
    """A server process, where it listens, and what it has printed."""

    def __init__(self, *options, env=None):
        self.process = subprocess.Popen(
            [*COMMAND, "serve", "--port", "0", *map(str, options)],
            stderr=subprocess.PIPE,
            text=True,
            # A busy machine keeps this deadline of uploaded mods.
            env={**os.environ, "CONCORDANCE_MOD_TIMEOUT": "20", **(env or {})},
        )
        self.printed = ""
        self._found = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not self._found.wait(START_S):
            self.stop()
            raise AssertionError(f"the server did not come up:\n{self.printed}")
        found = re.search(r"listens on (http://\S+)", self.printed)
        assert found, self.printed
        self.url = found[1]
        self.client = OpenAI(base_url=f"{self.url}/v1", api_key="none", max_retries=0, timeout=120)

    def _read(self):
        for line in self.process.stderr:
            self.printed += line
            if "curl" in line:
                self._found.set()
        self._found.set()

    @property
    def model(self):
        return self.client.models.list().data[0].id

    def stop(self):
        """Stop it with SIGTERM, as a supervisor would; return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(60)
        if self.process.poll() is None:
            self.process.kill()
        if hasattr(self, "client"):
            self.client.close()
        self._reader.join(60)
        self.process.stderr.close()
        return self.process.wait(60)


def eventually(condition, *, timeout=60):
    """Wait until a condition holds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
