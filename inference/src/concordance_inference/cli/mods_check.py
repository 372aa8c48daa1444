"""`concordance mods test`: a mod's own tests, and a quick check that it behaves."""

import importlib.util
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from concordance_sdk import ModDefinition
from concordance_sdk.composition import ModUse
from concordance_sdk.parameters import parse_parameters
from concordance_sdk.testing import check_conformance
from concordance_shared import ConcordanceError, InvalidRequestError, ModLoadError

from concordance_inference.cli.start import parse_mod
from concordance_inference.mods.catalog import NamedMod
from concordance_inference.mods.loading import load_path


class ModFailedError(ConcordanceError):
    """A mod's tests fail, or it does not behave."""


def run(file: Path, named: Sequence[str], *, skip_tests: bool) -> None:
    """Run the tests that stand beside a file of mods, then check each of its mods.

    Args:
        file: The Python file, or a folder of them.
        named: Which mods to check, as `NAME` or `NAME:key=value`; all if none is named.
        skip_tests: Only check.

    Raises:
        ModLoadError: The file cannot be loaded, or does not define a mod that was named.
        ModFailedError: A test or a check failed.
    """
    definitions, _ = load_path(file.resolve())
    failed = [] if skip_tests or _own_tests_pass(file.resolve()) else ["its own tests"]
    for definition, parameters in _chosen(file, definitions, [parse_mod(n) for n in named]):
        print(f"{definition.name}  {definition.where}")
        if not _behaves(definition, parameters):
            failed.append(definition.name)
    if failed:
        raise ModFailedError(f"{file}: {', '.join(failed)} failed")


def tests_of(file: Path) -> list[Path]:
    """The tests of a file of mods: those named after it, or else all that stand beside it."""
    folder, stem = (file, "") if file.is_dir() else (file.parent, file.stem)
    beside = sorted(folder.glob("test_*.py"))
    own = [path for path in beside if path.stem == f"test_{stem}"]
    return own or beside


def _own_tests_pass(file: Path) -> bool:
    tests = tests_of(file)
    if not tests:
        print(f"no tests beside {file.name}; `concordance mods new` writes one to begin with")
        return True
    if importlib.util.find_spec("pytest") is None:
        print("its tests need pytest: pip install pytest")
        return False
    command = [sys.executable, "-m", "pytest", "-q", *map(str, tests)]
    return subprocess.run(command, check=False, cwd=tests[0].parent).returncode == 0  # noqa: S603


def _chosen(
    file: Path, definitions: Sequence[ModDefinition], named: Sequence[NamedMod]
) -> list[tuple[ModDefinition, NamedMod]]:
    known = {definition.name: definition for definition in definitions}
    if unknown := [mod.name for mod in named if mod.name not in known]:
        raise ModLoadError(f"{file} defines {', '.join(known)}, and not {unknown[0]!r}")
    if named:
        return [(known[mod.name], mod) for mod in named]
    return [(definition, NamedMod(name=definition.name)) for definition in definitions]


def _behaves(definition: ModDefinition, given: NamedMod) -> bool:
    """Check a mod, print what was found, and say whether it was nothing."""
    try:
        values = parse_parameters(
            definition.parameters, given.params, name=definition.name, strict=False
        )
    except InvalidRequestError as exc:
        print(f"      not checked: {exc}\n      give them with --mod {definition.name}:key=value")
        return False
    report = check_conformance(ModUse(definition, values))
    print("\n".join(f"  {line}" for line in str(report).splitlines()))
    return report.is_passed
