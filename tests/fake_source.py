"""Models that are loaded immediately, or when a test lets them, and hold no memory."""

import threading

import msgspec
from concordance_inference.pool.memory import ModelFacts
from concordance_shared import ModelLoadError
from fake_engine import INFO, FakeChat, FakeEngine


class FakeModel(FakeEngine):
    """A loaded model without weights."""

    def __init__(self, name):
        super().__init__()
        self.model = msgspec.structs.replace(INFO, id=name)
        self.chat = FakeChat()
        self.embedder = "it is fake"
        self.engine = self
        self.num_unfinished = 0
        self.is_stuck = self.is_abandoned = False

    def stop(self):
        self.is_running = False

    def release(self):
        self.stop()


class FakeSource:
    """Loads fake models; what was loaded, in order, is in `loads`."""

    def __init__(self, sizes=None, *, failing=()):
        self.sizes = sizes or {}
        self.failing = set(failing)
        self.loads = []
        self.caches = {}
        self.shared = {}
        self.may_load = threading.Event()
        self.may_load.set()

    def estimate(self, spec):
        return self.locate(spec)

    def locate(self, spec):
        adapter_bytes = 1 if spec.adapter else 0
        return ModelFacts(base_bytes=self.sizes.get(spec.name, 10), adapter_bytes=adapter_bytes)

    def start(self, spec, kv_bytes, *, shares, beside):
        self.shared[spec.name] = shares and beside is not None
        self.loads.append(spec.name)
        assert self.may_load.wait(10)
        if spec.name in self.failing:
            raise ModelLoadError(f"{spec.name} has no weights")
        self.caches[spec.name] = kv_bytes
        return FakeModel(spec.name)
