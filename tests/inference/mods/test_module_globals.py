"""State in the globals of a mod's module, over reloads and uploads: docs/recipes.md."""

import gc
import os
import sys
import threading
import types

import pytest
from concordance_inference.mods import catalog as module
from concordance_inference.mods.catalog import ModCatalog, NamedMod
from concordance_sdk import ModPayload
from sandboxes import mod_catalog
from tiny import ask, make_engine, run

COUNTING = """
from concordance_sdk import Prefilled, mod

COUNT = [0]

@mod(on=[Prefilled])
def counting(event, actions):
    COUNT[0] += 1
    return COUNT[0]
"""


@pytest.fixture(autouse=True)
def _check_files_always(monkeypatch):
    monkeypatch.setattr(module, "_RECHECK_S", 0.0)


def write(path, text, *, age=0):
    path.write_text(text)
    os.utime(path, (1000 + age, 1000 + age))


def count(entry):
    """Call the mod of an entry, as a request would."""
    (handler,) = entry.definition.handlers.values()
    return handler.function(None, None)


def test_globals_are_kept_between_requests_and_new_after_a_reload_even_of_the_same_text(tmp_path):
    write(tmp_path / "a.py", COUNTING)
    catalog = ModCatalog([tmp_path / "a.py"])
    old = catalog.get("counting")
    counts = [count(catalog.get("counting")), count(catalog.get("counting"))]
    write(tmp_path / "a.py", COUNTING, age=1)

    assert counts == [1, 2]
    assert count(catalog.get("counting")) == 1
    assert count(old) == 3  # a running request keeps its version, with its globals


def test_the_globals_of_an_upload_are_new_for_each_request():
    catalog = mod_catalog()
    catalog.upload(
        ModPayload(
            name="one",
            entrypoint="counting",
            source=COUNTING.replace("return COUNT[0]", "return actions.report(count=COUNT[0])"),
        )
    )
    (call,) = catalog.resolve([NamedMod(name="one")])

    for _ in range(2):
        answers = run(make_engine(), ask("Hello", call, max_tokens=2))
        (report,) = [r for each in answers.updates for r in getattr(each, "reports", ())]
        assert report.data == {"count": 1}


def test_a_module_that_is_not_of_the_source_is_not_reloaded(tmp_path, monkeypatch):
    kept = types.ModuleType("kept_elsewhere")
    vars(kept)["COUNT"] = [0]
    monkeypatch.setitem(sys.modules, "kept_elsewhere", kept)
    source = COUNTING.replace("COUNT = [0]", "from kept_elsewhere import COUNT")
    write(tmp_path / "a.py", source)
    catalog = ModCatalog([tmp_path / "a.py"])
    before = count(catalog.get("counting"))
    write(tmp_path / "a.py", source, age=1)

    assert (before, count(catalog.get("counting"))) == (1, 2)


def test_a_thread_pool_ends_its_threads_once_the_old_module_is_freed(tmp_path):
    def pools():
        return sorted(t.name for t in threading.enumerate() if t.name.startswith("pool of version"))

    source = COUNTING + (
        "\nfrom concurrent.futures import ThreadPoolExecutor"
        "\nPOOL = ThreadPoolExecutor(1, thread_name_prefix='pool of version 1')"
        "\nPOOL.submit(int).result()\n"
    )
    write(tmp_path / "a.py", source)
    catalog = ModCatalog([tmp_path / "a.py"])
    threads = [t for t in threading.enumerate() if t.name.startswith("pool of version 1")]
    write(tmp_path / "a.py", source.replace("version 1", "version 2"), age=1)
    catalog.get("counting")
    gc.collect()
    for thread in threads:
        thread.join(timeout=10)

    assert len(threads) == 1
    assert pools() == ["pool of version 2_0"]
