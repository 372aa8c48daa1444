"""The committed versions are exact, hashed, without a host, and within the declared bounds."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
LOCK = (ROOT / "requirements.txt").read_text("utf-8")
PACKAGES = ["shared", "sdk", "inference", "."]


def locked():
    """Each entry's requirement line and the lines of its hashes."""
    entries = re.split(r"\n(?=\S)", "\n".join(LOCK.splitlines()[1:]))
    return [re.split(r" ?\\\n +", entry.strip()) for entry in entries]


def declared():
    """Every requirement of the workspace, apart from its own members and CUDA."""
    for package in PACKAGES:
        project = tomllib.loads((ROOT / package / "pyproject.toml").read_text("utf-8"))
        fields = project["project"]
        groups = {k: v for k, v in project.get("dependency-groups", {}).items() if k != "cuda"}
        extras = {k: v for k, v in fields.get("optional-dependencies", {}).items() if k != "cuda"}
        for texts in [fields["dependencies"], *extras.values(), *groups.values()]:
            found = [Requirement(text) for text in texts]
            yield from (each for each in found if not each.name.startswith("concordance-"))


def test_every_entry_is_an_exact_version_with_hashes():
    wrong = [
        lines[0]
        for lines in locked()
        if not re.match(r"[\w.-]+==[\w.]+( ;|$)", lines[0])
        or len(lines) < 2
        or not all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", line) for line in lines[1:])
    ]

    assert not wrong


def test_no_entry_names_a_host_or_a_path_of_a_machine():
    assert "://" not in LOCK
    assert "--index" not in LOCK
    assert not re.search(r"(^|[\s@])/", LOCK)


@pytest.mark.parametrize("requirement", list(declared()), ids=str)
def test_a_declared_dependency_is_locked_within_its_bounds(requirement):
    versions = [
        Requirement(lines[0])
        for lines in locked()
        if Requirement(lines[0]).name == requirement.name
    ]

    assert versions, f"run .ci/lock: requirements.txt has no {requirement.name}"
    for version in versions:
        assert requirement.specifier.contains(str(version.specifier).removeprefix("=="))
