"""`concordance mods test`: a mod's own tests, and a conformance check."""

import ast
import importlib.util
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from concordance_sdk.composition import ModUse
from concordance_sdk.host import ModDefinition
from concordance_sdk.host.mod_scope import ModScope
from concordance_sdk.parameters import parse_parameters
from concordance_sdk.testing import ConformanceReport, check_conformance
from concordance_shared import ConcordanceError, InvalidRequestError, ModLoadError

from concordance_inference.call_watchdog import call_on
from concordance_inference.cli.options import CheckMods
from concordance_inference.cli.start import parse_mod
from concordance_inference.mods.catalog import NamedMod
from concordance_inference.mods.loading import load_path, python_files
from concordance_inference.mods.mod_output import captured_output
from concordance_inference.time_limit import TimeLimitError, run_watched

#: Time limit of one call of a mod's code, in seconds.
MAX_CALL_S = 10

#: Time limit of the conformance check of one mod, in seconds.
MAX_CHECK_S = 600

#: Time limit of one test of a mod, in seconds; after it, pytest prints where the test is and exits.
MAX_TEST_S = 60

_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


class ModFailedError(ConcordanceError):
    """A mod's tests or checks fail, or it cannot be checked."""


class NeedsParametersError(ConcordanceError):
    """A mod has required parameters, and was given none."""


def run(options: CheckMods) -> None:
    """Run the tests of a file of mods, then check each of its mods.

    Raises:
        ModLoadError: The file cannot be loaded, or does not define a mod that was named.
        InvalidRequestError: A parameter that was given is unknown or of the wrong type.
        ModFailedError: A test or a check failed, or a mod was not checked.
    """
    file = options.file
    definitions, _ = load_path(file.resolve())
    passed = options.skip_tests or _own_tests_pass(file.resolve())
    faults = [] if passed else ["its own tests failed"]
    for definition, parameters in _chosen(
        file, definitions, [parse_mod(mod) for mod in options.mod]
    ):
        print(f"{definition.name}  {definition.where}")
        try:
            if not _behaves(definition, parameters):
                faults.append(f"{definition.name} failed")
        except NeedsParametersError as exc:
            print(f"      {exc}")
            faults.append(f"{definition.name} was {exc}")
    if faults:
        raise ModFailedError(f"{file}: {', and '.join(faults)}")


def tests_of(file: Path) -> list[str]:
    """The tests in a file of mods and in `test_<file>` beside it; all tests of a folder."""
    inside = [test for path in python_files(file) for test in _tests_in(path)]
    if file.is_dir():
        return [*inside, *map(str, sorted(file.glob("test_*.py")))]
    beside = file.with_name(f"test_{file.name}")
    return [*inside, *([str(beside)] if beside.is_file() else [])]


def _tests_in(file: Path) -> Iterator[str]:
    """What pytest would collect from a file of mods, except mods."""
    for node in ast.parse(file.read_bytes()).body:
        if isinstance(node, _Definition) and _is_test(node):
            yield f"{file}::{node.name}"


def _is_test(node: _Definition) -> bool:
    if any(map(_is_mark, node.decorator_list)):
        return False
    if not isinstance(node, ast.ClassDef):
        return node.name.startswith("test_")
    names = [getattr(inner, "name", "") for inner in node.body]
    return node.name.startswith("Test") and any(name.startswith("test_") for name in names)


def _is_mark(decorator: ast.expr) -> bool:
    """True if a decorator is `@mod`, `@mod(...)` or `@sdk.mod`."""
    return ast.unparse(decorator).partition("(")[0].rpartition(".")[2] == "mod"


def _own_tests_pass(file: Path) -> bool:
    tests = tests_of(file)
    if not tests:
        name = f"test_{file.name}" if file.is_file() else "test_*.py"
        print(f"no tests: none in {file.name}, and no {name}; `concordance mods new` writes one")
        return True
    if importlib.util.find_spec("pytest") is None:
        print("its tests need pytest: pip install pytest")
        return False
    folder = file if file.is_dir() else file.parent
    shown = sorted({test.partition("::")[0].removeprefix(f"{folder}/") for test in tests})
    print(f"tests of {', '.join(shown)}", flush=True)
    limit = [f"faulthandler_timeout={MAX_TEST_S}", "faulthandler_exit_on_timeout=true"]
    options = [part for option in limit for part in ("-o", option)]
    command = [sys.executable, "-m", "pytest", "-q", *options, *tests]
    return subprocess.run(command, check=False, cwd=folder).returncode == 0  # noqa: S603


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
    """Check a mod, print the report, and return True if it passed.

    Raises:
        NeedsParametersError: It has parameters without a default, and was given none.
        InvalidRequestError: A parameter that was given is unknown or of the wrong type.
    """
    try:
        values = parse_parameters(
            definition.parameters, given.params, name=definition.name, strict=False
        )
    except InvalidRequestError as exc:
        if given.params:
            raise
        raise NeedsParametersError(
            "not checked, since it needs parameters; give them by "
            f"--mod {definition.name}:key=value"
        ) from exc
    try:
        report = _checked(ModUse(definition, values))
    except TimeLimitError as exc:
        print("\n".join(f"  {line}" for line in f"FAIL  {exc}".splitlines()))
        return False
    print("\n".join(f"  {line}" for line in str(report).splitlines()))
    return report.is_passed


def _checked(used: ModUse) -> ConformanceReport:
    """Check a mod within bounds: its code may never return, and print in every scene.

    Raises:
        TimeLimitError: A call of the mod's code, or the check, takes too long.
    """
    ends_at = time.monotonic() + MAX_CHECK_S
    printed: Counter[str] = Counter()

    def watch(thread: threading.Thread) -> str | None:
        if call := call_on(thread, longer_than_s=MAX_CALL_S):
            return f"{call}. It is at:\n{call.stack.rstrip()}"
        return None if time.monotonic() < ends_at else f"the check took more than {MAX_CHECK_S} s"

    def count(scope: ModScope, line: str) -> None:
        del line
        printed[scope.mod] += 1

    with captured_output(count):
        report = run_watched(lambda: check_conformance(used), watch)
    if printed:
        print(f"  note  it printed {printed.total()} lines, which are shown by `play` and not here")
    return report
