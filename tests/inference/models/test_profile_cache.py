"""The cache of model profiles on disk."""

import os
import time
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest
from concordance_inference.engine.caches.budget import Footprint
from concordance_inference.engine.model.calibration.profile import ModelProfile
from concordance_inference.engine.plan import PassCost, Sharing
from concordance_inference.generation import Completed, SamplingParams
from concordance_inference.models.profile_cache import cached_profile
from concordance_inference.mods.catalog import ModCatalog
from concordance_inference.runtime import Runtime
from tiny_folder import write_tiny_folder

PROFILE = ModelProfile(
    sharing=Sharing.PADDED,
    footprint=Footprint(per_token=12, growth=256),
    cost=PassCost(0.1, 0.2, 0.3),
    is_timed=True,
)


@pytest.fixture(name="cache", autouse=True)
def _cache(monkeypatch, tmp_path):
    monkeypatch.setenv("CONCORDANCE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "profiles"


@pytest.fixture(name="folder")
def _folder(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    (tmp_path / "model" / "model.safetensors").write_bytes(bytes(100))
    return tmp_path / "model"


class Measure:
    """Returns a profile, and counts its calls."""

    def __init__(self, profile=PROFILE):
        self.count = 0
        self.profile = profile

    def __call__(self):
        self.count += 1
        return self.profile


@pytest.fixture(name="measure")
def _measure():
    return Measure()


def test_a_model_is_profiled_once(folder, measure):
    assert cached_profile([folder], measure) == PROFILE
    assert cached_profile([folder], measure) == PROFILE
    assert measure.count == 1


@pytest.mark.parametrize(("is_steady", "count"), [(True, 1), (False, 2)])
def test_a_profile_measured_on_a_busy_machine_expires(folder, cache, is_steady, count):
    profile = msgspec.structs.replace(PROFILE, is_steady=is_steady)
    measure = Measure(profile)
    assert cached_profile([folder], measure) == profile
    assert cached_profile([folder], measure) == profile
    assert measure.count == 1
    (path,) = cache.iterdir()
    two_hours_ago = time.time() - 7200
    os.utime(path, (two_hours_ago, two_hours_ago))

    assert cached_profile([folder], measure) == profile
    assert measure.count == count


def change_config(folder, monkeypatch):
    (folder / "config.json").write_text("[]")


def change_weights(folder, monkeypatch):
    os.utime(folder / "model.safetensors", (1, 1))


def change_version(folder, monkeypatch):
    monkeypatch.setattr("concordance_inference.models.profile_cache.version", lambda name: "9")


def change_machine(folder, monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "other")


def change_setting(folder, monkeypatch):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "17")


@pytest.mark.parametrize(
    "change", [change_config, change_weights, change_version, change_machine, change_setting]
)
def test_a_model_is_profiled_again_after_a_change(folder, measure, monkeypatch, change):
    cached_profile([folder], measure)
    change(folder, monkeypatch)
    cached_profile([folder], measure)

    assert measure.count == 2


def test_adapters_are_part_of_the_profile_cache_key(folder, measure, tmp_path):
    adapters = tmp_path / "adapters"
    adapters.mkdir()
    (adapters / "adapters.safetensors").write_bytes(b"x")

    cached_profile([folder], measure)
    cached_profile([folder, adapters], measure)

    assert measure.count == 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda entry: b"",
        lambda entry: b"\xff\x00",
        lambda entry: b"[" * 100_000,
        lambda entry: entry[: len(entry) // 2],
        lambda entry: entry.replace(b'"per_token":12', b'"per_token":-12'),
        lambda entry: entry.replace(b'"key":"', b'"key":"other '),
        lambda entry: entry.replace(b'"sharing":3', b'"sharing":9'),
    ],
)
def test_a_damaged_cached_profile_is_replaced(folder, measure, cache, damage):
    cached_profile([folder], measure)
    (path,) = cache.iterdir()
    good = path.read_bytes()
    assert damage(good) != good
    path.write_bytes(damage(good))

    assert cached_profile([folder], measure) == PROFILE
    assert measure.count == 2
    assert path.read_bytes() == good
    assert list(cache.iterdir()) == [path]


def test_an_unwritable_profile_cache_is_not_an_error(folder, measure, cache):
    cache.parent.mkdir()
    cache.write_text("a file where the folder should be")

    assert cached_profile([folder], measure) == PROFILE
    assert cached_profile([folder], measure) == PROFILE
    assert measure.count == 2


def test_a_model_without_a_known_folder_is_not_cached(measure, cache):
    cached_profile([], measure)

    assert not cache.exists()


def test_profile_cache_supports_concurrent_writers(folder, cache):
    with ThreadPoolExecutor(8) as pool:
        profiles = list(pool.map(lambda _: cached_profile([folder], Measure()), range(32)))

    assert set(map(msgspec.json.encode, profiles)) == {msgspec.json.encode(PROFILE)}
    assert len(list(cache.iterdir())) == 1


def completion(folder):
    with Runtime(str(folder), ModCatalog([]), progress=lambda _: None) as runtime:
        request = runtime.request("abc", max_tokens=8, sampling=SamplingParams(seed=1))
        *_, last = runtime.submit(request)
    assert isinstance(last, Completed)
    return last.token_ids, last.text


def test_completions_are_the_same_with_and_without_the_profile_cache(tmp_path, cache, monkeypatch):
    folder = write_tiny_folder(tmp_path / "tiny")
    without = completion(folder)
    assert len(list(cache.iterdir())) == 1

    def never(*_, **__):
        raise AssertionError("measured again")

    monkeypatch.setattr("concordance_inference.runtime.profile_of", never)
    assert completion(folder) == without
