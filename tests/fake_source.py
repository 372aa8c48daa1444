"""Models that are loaded immediately, or when a test lets them, and hold no memory."""

import threading

import msgspec
from concordance_shared import ModelLoadError
from fake_engine import INFO, FakeChat, FakeEngine


class FakeModel(FakeEngine):
    """A loaded model without weights."""

    def __init__(self, name):
        super().__init__()
        self.model = msgspec.structs.replace(INFO, id=name)
        self.chat = FakeChat()
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
        self.may_load = threading.Event()
        self.may_load.set()

    def estimate(self, spec):
        return self.weigh(spec)

    def weigh(self, spec):
        return self.sizes.get(spec.name, 10)

    def start(self, spec, kv_bytes):
        self.loads.append(spec.name)
        assert self.may_load.wait(10)
        if spec.name in self.failing:
            raise ModelLoadError(f"{spec.name} has no weights")
        self.caches[spec.name] = kv_bytes
        return FakeModel(spec.name)
