"""Files of state are whole after each failed operation, and after each `kill -9`."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest
from concordance_inference.engine.caches.budget import Footprint as CacheFootprint
from concordance_inference.engine.model.calibration.profile import ModelProfile
from concordance_inference.engine.plan import PassCost, Sharing
from concordance_inference.harmony import encoding
from concordance_inference.keys.key import SECRET, new_key
from concordance_inference.keys.key_file import KeyFileError, add_key, read_keys, revoke_keys
from concordance_inference.keys.upload_key import made_upload_key
from concordance_inference.models import profile_cache
from faults import KINDS, Footprint, each_fault

FILE_KINDS = [
    kind
    for kind in KINDS
    if kind.startswith(("open", "write", "sync", "rename", "link", "make", "read"))
]

PROFILE = ModelProfile(
    sharing=Sharing.PADDED,
    footprint=CacheFootprint(per_token=12, growth=256),
    cost=PassCost(0.1, 0.2, 0.3),
    is_timed=True,
)


def key_named(name):
    return new_key("infer", label=name)[0]


def add(folder):
    add_key(folder / "keys.json", key_named("new"))


def revoke(folder):
    revoke_keys(folder / "keys.json", [each.id for each in read_keys(folder / "keys.json")])


def make_upload_key(folder):
    made_upload_key(folder / "upload.key")


def write_vocabulary(folder):
    encoding._write(folder / "vocabulary.tiktoken", {})


def write_profile(folder):
    profile_cache._write(folder / "profile.json", profile_cache._Entry("key", PROFILE))


CHANGES = [add, revoke, make_upload_key, write_profile, write_vocabulary]


def contents(folder):
    """The files, but locks, whose contents do not matter."""
    files = (each for each in folder.iterdir() if not each.name.endswith(".lock"))
    return {each.name: each.read_bytes() for each in files}


@pytest.mark.parametrize("kind", FILE_KINDS)
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_state_file_is_whole_after_a_failed_operation(tmp_path, monkeypatch, kind, change):
    monkeypatch.setattr(encoding, "SHA256", encoding.hashlib.sha256(b"").hexdigest())
    for fault in each_fault(kind):
        folder = tmp_path / f"{fault.number}"
        folder.mkdir()
        add_key(folder / "keys.json", key_named("old"))
        before, footprint = contents(folder), Footprint()
        with fault.injected():
            try:
                change(folder)
            except (KeyFileError, OSError) as exc:
                assert "injected" in f"{exc}" or exc.__cause__  # noqa: PT017  # one of two ways
                assert contents(folder) == before or kind == "sync"
        assert Footprint() == footprint
        assert {*contents(folder)} <= {
            "keys.json",
            "upload.key",
            "profile.json",
            "vocabulary.tiktoken",
        }
        names = [key.label for key in read_keys(folder / "keys.json")]
        assert names in (["old"], ["old", "new"], [])
        change(folder)


#: Changes files of state for ever.
WRITER = """
import sys
from pathlib import Path
from concordance_inference.keys.key import new_key
from concordance_inference.keys.key_file import add_key, read_keys, revoke_keys
from concordance_inference.keys.upload_key import made_upload_key
folder = Path(sys.argv[1])
path = folder / "keys.json"
add_key(path, new_key("infer", label="kept")[0])
print("ready", flush=True)
while True:
    key = new_key("infer", label="k" * 50_000)[0]
    add_key(path, key)
    revoke_keys(path, [key.id])
    made_upload_key(folder / "upload.key")
    (folder / "upload.key").unlink()
"""


@pytest.mark.process
def test_state_files_are_whole_after_kill_9_at_any_moment(tmp_path):
    dice = random.Random("state")
    for _ in range(4):
        command = [sys.executable, "-c", WRITER, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
            assert writer.stdout.readline() == b"ready\n"
            time.sleep(dice.uniform(0, 0.2))
            os.kill(writer.pid, signal.SIGKILL)
        keys = read_keys(tmp_path / "keys.json")
        assert keys[0].label == "kept"
        assert SECRET.fullmatch(made_upload_key(tmp_path / "upload.key"))
        add_key(tmp_path / "keys.json", key_named("new"))
