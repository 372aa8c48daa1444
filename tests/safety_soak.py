"""Streams beside hostile mods, malformed requests, disconnects, slow readers and live control.

    cd tests && uv run python -m safety_soak --seconds 60 --seed mine              # a tiny model
    cd tests && uv run python -m safety_soak --seconds 60 --model embedded

A server runs in a process of its own. Every stream must be equal to that of the same request alone,
and after a while the server must have no more memory, descriptors, threads and children than after
its first round. A difference is printed with the seed.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from pathlib import Path

import httpx2
import psutil
from concordance_inference.keys.upload_key import found_upload_key
from servers import Server
from tiny_folder import write_tiny_folder

#: Handlers of hostile mods: groups A to F of what an upload may try.
HOSTILE = {
    "loops": "while True: pass",
    "catches-all": "while True:\n        try:\n            while True: pass\n"
    "        except BaseException: pass",
    "sleeps": "import time; time.sleep(1000)",
    "big-number": "7 ** 10 ** 8",
    "exits": "import os; os._exit(3)",
    "raises": "raise RuntimeError('no')",
    "system-exit": "raise SystemExit",
    "crashes": "import ctypes; ctypes.string_at(0)",
    "allocates": "bytearray(8 << 30)",
    "prints": "print('x' * 1_000_000)",
    "opens": "open('/etc/passwd')",
    "connects": "import socket; socket.socket()",
    "forks": "import os; os.fork()",
    "kills": "import os; os.kill(-1, 9)",
    "forges": "import os; os.write(3, b'\\xff' * 64)",
    "closes": "import os; os.close(3)",
    "bad-token": "return actions.force_tokens([-1])",
    "bad-value": "return 'text'",
    "endless": "return actions.backtrack(1) if event.step > 1 else None",
}
HEALTHY = (
    "if event.step % 7 == 3 and not event.forced:\n"
    "        return actions.force_tokens(tokenizer.encode('ab'))"
)
SOURCE = (
    "from concordance_sdk import *\n\n@mod(on=[Added], max_backtrack=None)\n"
    "def soaked(event, actions, tokenizer):\n    {body}\n"
)
PROMPTS = ["hi", "Tell me", "One two three", "é 你好", "a" * 40, "x y z"]

#: A server that is full says so.
BUSY = {"rate_limit_exceeded"}

#: The machine gives workers too little time; their requests end early, and others continue.
LATE = {"mod_timeout", "mod_load_failed", "sandbox_unavailable"}

#: What the server may have more than after its first round: pools of threads and of memory grow.
MORE_FDS, MORE_THREADS, MORE_CHILDREN, MORE_BYTES = 24, 16, 8, 120 << 20


class Soak:
    """Clients of one server, and what they have seen."""

    def __init__(self, url, model, key, seed, num_clients):
        """Use a server.

        Args:
            url: Where it listens.
            model: The served model.
            key: Uploads mods.
            seed: Of all that clients do.
            num_clients: Streams at the same time.
        """
        self.model, self.seed, self.num_clients = model, seed, num_clients
        limits = httpx2.Limits(max_connections=None)
        headers = {"authorization": f"Bearer {key}"}
        self.http = httpx2.AsyncClient(base_url=url, timeout=120, limits=limits, headers=headers)
        self.alone = {}  # texts of streams that ran alone
        self.counts = {}
        self.faults = []
        self.end = 0.0

    def body(self, prompt, mod, **fields):
        return {
            "model": self.model,
            "messages": [{"role": "user", "content": prompt}],
            "mods": [mod] if mod else [],
            "max_tokens": 24,
            "temperature": 0,
            "ignore_eos": True,
            "stream": True,
            **fields,
        }

    async def upload(self):
        """Upload all mods."""
        for name, text in {"healthy": HEALTHY, **HOSTILE}.items():
            body = {"name": name, "entrypoint": "soaked", "source": SOURCE.format(body=text)}
            (await self.http.post("/v1/mods", json=body)).raise_for_status()

    async def text_of(self, body, *, pause_s=0.0, num_events=None):
        """Return the text of a stream, and the code of its error; leave it after some events."""
        text, code, seen = "", None, 0
        async with self.http.stream("POST", "/v1/chat/completions", json=body) as response:
            if response.status_code != 200:
                return "", json.loads(await response.aread())["error"]["code"]
            async for line in response.aiter_lines():
                if not line.startswith("data: {"):
                    continue
                event = json.loads(line.removeprefix("data: "))
                if "error" in event:
                    code = event["error"]["code"]
                for choice in event.get("choices", ()):
                    text += choice["delta"].get("content") or ""
                seen += 1
                if num_events is not None and seen >= num_events:
                    break
                if pause_s:
                    await asyncio.sleep(pause_s)
        return text, code

    async def learn(self):
        """Run each healthy request alone."""
        for prompt in PROMPTS:
            for mod in (None, "healthy"):
                found = await self.text_of(self.body(prompt, mod))
                for _ in range(20):  # workers have little of the time of a busy machine
                    if found[1] not in LATE:
                        break
                    found = await self.text_of(self.body(prompt, mod))
                if found != self.alone.setdefault((prompt, mod), found) or found[1]:
                    self.faults.append(("alone", prompt, mod, found))

    # What clients do

    async def healthy(self, dice):
        """A stream that must be equal to the one alone. Only a full server rejects it."""
        prompt, mod = dice.choice(PROMPTS), dice.choice([None, None, "healthy"])
        pause_s = dice.choice([0, 0, 0.02])
        found = await self.text_of(self.body(prompt, mod), pause_s=pause_s)
        text, code = found
        if code in BUSY and not text:
            self.count("rejected")
        elif mod and code in LATE and self.alone[prompt, mod][0].startswith(text):
            self.count("late")
        elif found != self.alone[prompt, mod]:
            self.faults.append((prompt, mod, found, self.alone[prompt, mod]))

    async def hostile(self, dice):
        """A stream with a hostile mod, which fails or not, but ends."""
        name = dice.choice([*HOSTILE])
        _, code = await self.text_of(self.body(dice.choice(PROMPTS), name))
        if code in ("engine_error", "internal_error"):
            self.faults.append((name, code))

    async def leaves(self, dice):
        """A client that disconnects in the middle."""
        body = self.body("leave", dice.choice([None, "healthy", "sleeps"]), max_tokens=60)
        await self.text_of(body, num_events=dice.randrange(1, 6))

    async def malformed(self, dice):
        """A body that is no request."""
        raw = dice.choice([b"", b"{", b"[]", b"\xff" * 9, b"[" * 5000, b'{"model":1}'])
        raw = raw if dice.random() < 0.5 else dice.randbytes(50)
        response = await self.http.post(
            "/v1/chat/completions", content=raw, headers={"content-type": "application/json"}
        )
        if not 400 <= response.status_code < 500:
            self.faults.append((raw, response.status_code, response.text))

    async def controlled(self, dice):
        """A stream that is changed by hand while it runs."""
        name = f"soak-{dice.randrange(10**12)}"
        body = self.body("control", None, max_tokens=60)
        stream = asyncio.create_task(self._named(body, name))
        await asyncio.sleep(dice.uniform(0, 0.2))
        action = dice.choice(
            [
                {"type": "force", "text": "by hand"},
                {"type": "backtrack", "num_tokens": 1},
                {"type": "add_mod", "mod": "healthy"},
                {"type": "add_mod", "mod": "loops"},
                {"type": "end"},
            ]
        )
        response = await self.http.post(f"/v1/requests/{name}/actions", json=action)
        if response.status_code >= 500 and response.status_code != 503:
            self.faults.append((action, response.status_code, response.text))
        await stream

    async def _named(self, body, name):
        headers = {"x-request-id": name}
        async with self.http.stream(
            "POST", "/v1/chat/completions", json=body, headers=headers
        ) as response:
            await response.aread()

    def count(self, what):
        """Count something that happened."""
        self.counts[what] = self.counts.get(what, 0) + 1

    async def client(self, number):
        """Act at random until the end."""
        dice = random.Random(f"{self.seed} {number}")
        ways = {
            self.healthy: 12,
            self.hostile: 3,
            self.leaves: 1,
            self.malformed: 1,
            self.controlled: 1,
        }
        while time.monotonic() < self.end:
            (way,) = dice.choices([*ways], [*ways.values()])
            try:
                await way(dice)
            except Exception as exc:
                self.faults.append((way.__name__, repr(exc)))
            self.count(way.__name__)

    async def run(self, seconds):
        """Let all clients act for a time."""
        self.end = time.monotonic() + seconds
        await asyncio.gather(*(self.client(each) for each in range(self.num_clients)))


class Usage:
    """What a server's process uses once it is idle."""

    def __init__(self, pid):
        """Measure it."""
        process = psutil.Process(pid)
        self.fds, self.threads = process.num_fds(), process.num_threads()
        self.children = len(process.children(recursive=True))
        self.bytes = process.memory_info().rss

    def faults_since(self, before):
        """Say what has grown."""
        pairs = {
            "descriptors": (self.fds - before.fds, MORE_FDS),
            "threads": (self.threads - before.threads, MORE_THREADS),
            "children": (self.children - before.children, MORE_CHILDREN),
            "bytes": (self.bytes - before.bytes, MORE_BYTES),
        }
        return [f"{grown} more {what}" for what, (grown, most) in pairs.items() if grown > most]

    def __repr__(self):
        return f"{vars(self)}"


async def soak(server, key, *, seconds, seed, num_clients):
    """Soak a server; return the faults, and print what happened."""
    client = Soak(server.url, server.model, key, seed, num_clients)
    await client.upload()
    await client.learn()
    await client.run(seconds / 3)
    await asyncio.sleep(1.5)
    before = Usage(server.process.pid)
    await client.run(seconds * 2 / 3)
    await asyncio.sleep(1.5)
    after = Usage(server.process.pid)
    await client.learn()
    await client.http.aclose()
    print(f"seed {seed}: {client.counts}\n  after warm-up {before}\n  at the end    {after}")
    return [*client.faults, *after.faults_since(before)]


def main():
    """Start a server and soak it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", default=str(time.time_ns()))
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--model", help="a folder or `embedded`; by default a tiny model")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder) / "state"
        named = options.model or write_tiny_folder(Path(folder) / "m")
        chosen = () if named == "embedded" else ("--model", named)
        server = Server(*chosen, "--max-waiting", 256, env={"CONCORDANCE_STATE": str(state)})
        try:
            key = found_upload_key(state / "upload.key")
            soaking = soak(
                server, key, seconds=options.seconds, seed=options.seed, num_clients=options.clients
            )
            faults = asyncio.run(soaking)
        finally:
            status = server.stop()
    faults += [f"the server exited with status {status}"] * bool(status)
    for fault in faults[:10]:
        print(f"FAULT {fault}")
    print(f"{len(faults)} faults" + (f"; repeat with --seed {options.seed}" if faults else ""))
    if faults:
        print(server.printed[-6000:])
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
