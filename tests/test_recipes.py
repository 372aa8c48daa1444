"""CONTRIBUTING's recipes, executed on a copy of the repository.

Each recipe touches exactly the files that its section lists, and the checks pass afterwards.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.process]

ROOT = Path(__file__).parent.parent
PATH = re.compile(r"`([\w./-]+\.(?:py|md))`")
COPIED = ("shared", "sdk", "inference", "tests", "docs", "examples", ".ci")

ACTION = """
class Truncate(Action, frozen=True, tag=True):
    \"\"\"Keep the first `length` tokens of the completion. Allowed at `Added`.

    Attributes:
        length: The number of tokens to keep.

    Examples:
        >>> from concordance_sdk import Added, mod
        >>> from concordance_sdk.testing import play
        >>> @mod(on=[Added])
        ... def once(event, actions):
        ...     return actions.truncate(1) if event.step == 2 else None
        >>> play(once, script="abcd", max_tokens=2).text
        'ab'
    \"\"\"

    length: int


"""
CONSTRAINT = '''"""A constraint to hexadecimal digits."""

from msgspec import Struct

from concordance_sdk.constraints.grammar_builder import GrammarBuilder, Regular


class Hex(Struct, frozen=True):
    """A fixed number of hexadecimal digits.

    Attributes:
        length: The number of digits.

    Examples:
        >>> from concordance_sdk.constraints import allows
        >>> allows(Hex(2), "f0"), allows(Hex(2), "f")
        (True, False)
    """

    length: int

    def write(self, grammar: GrammarBuilder) -> Regular:
        """Write the digits as one terminal."""
        return grammar.terminal(f"/[0-9a-f]{{{self.length}}}/")

    def answer(self, text: str) -> str:
        """Return the text unchanged."""
        return text

    def value(self, text: str) -> int:
        """Return the number that the digits spell."""
        return int(text, 16)
'''
CONSTRAINT_TEST = """
from concordance_sdk.constraints import Hex, allows, constrain
from concordance_sdk.testing import play


def test_hex_allows_only_that_many_digits():
    assert allows(Hex(2), "f0")
    assert not allows(Hex(2), "f0f")
    assert Hex(2).value("ff") == 255
    assert play(constrain(Hex(2)), script="xyf0").text[2:] == ""
"""
ROUTE = '''"""`GET /v1/ping`."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from concordance_inference.server.context import context_of


async def ping(request: Request) -> Response:
    """Return the name of the served model."""
    body = msgspec.json.encode({"model": context_of(request).models.named(None).info.id})
    return Response(body, media_type="application/json")
'''
ROUTE_TEST = """
def test_ping_names_the_model(client):
    assert client.get("/v1/ping").json() == {"model": "fake"}
"""
COMMAND = '''"""`concordance hello`."""

from concordance_inference.cli.options import Hello


def run(options: Hello) -> None:
    """Print a greeting."""
    print(f"Hello, {options.name}!")
'''
COMMAND_OPTIONS = '''@dataclass(frozen=True, kw_only=True)
class Hello:
    """The options of `concordance hello`."""

    name: Annotated[str, typer.Argument(help="The name to greet.")]


'''
COMMAND_ENTRY = '''@app.command()
@takes(Hello)
def hello(options: Hello) -> None:
    """Print a greeting."""
    from concordance_inference.cli import hello as command

    command.run(options)


'''
COMMAND_TEST = """
from concordance_inference.cli.main import app
from typer.testing import CliRunner


def test_hello_prints_the_name():
    result = CliRunner().invoke(app, ["hello", "you"])

    assert (result.exit_code, result.output) == (0, "Hello, you!\\n")
"""


class Copy:
    """A copy of the repository to edit."""

    def __init__(self, root):
        self.root = root
        for name in COPIED:
            ignored = shutil.ignore_patterns("__pycache__", "json_schema_test_suite", ".*_cache")
            shutil.copytree(ROOT / name, root / name, ignore=ignored)
        for path in [*ROOT.glob("*.md"), *ROOT.glob("*.toml"), *ROOT.glob("*.yml")]:
            shutil.copy(path, root / path.name)
        self.before = self.texts()

    def texts(self):
        return {
            path.relative_to(self.root).as_posix(): path.read_bytes()
            for pattern in ("**/*.py", "**/*.md")
            for path in self.root.glob(pattern)
        }

    def touched(self):
        """The files that were added or changed."""
        return sorted(name for name, text in self.texts().items() if self.before.get(name) != text)

    def add(self, path, text):
        assert not (self.root / path).exists(), path
        (self.root / path).write_text(text)

    def append(self, path, text):
        target = self.root / path
        target.write_text(target.read_text() + text)

    def before_line(self, path, anchor, text):
        """Insert before the first line that starts with `anchor`."""
        target = self.root / path
        lines = target.read_text().splitlines(keepends=True)
        at = next(i for i, line in enumerate(lines) if line.startswith(anchor))
        target.write_text("".join([*lines[:at], text, *lines[at:]]))

    def import_name(self, path, name, *, after):
        """Import or export a name in the line after another one, wherever that has a line."""
        target = self.root / path
        line = re.compile(rf'^( {{4}}"?){after}("?,)\n', re.MULTILINE)
        text, count = line.subn(rf"\g<0>\g<1>{name}\g<2>\n", target.read_text())
        assert count, (path, after)
        target.write_text(text)

    def import_line(self, path, line):
        """Insert an import after the last one of its package that sorts before it."""
        package = line.rpartition(".")[0]
        target = self.root / path
        earlier = max(
            each
            for each in target.read_text().splitlines(keepends=True)
            if each.startswith(package) and each < line and each.rstrip()[-1] != "("
        )
        self.replace(path, f"\n{earlier}", f"\n{earlier}{line}")

    def replace(self, path, old, new):
        target = self.root / path
        assert target.read_text().count(old) == 1, (path, old)
        target.write_text(target.read_text().replace(old, new))

    def run(self, *command):
        sources = [str(self.root / name / "src") for name in ("shared", "sdk", "inference")]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(sources)}
        done = subprocess.run(
            [sys.executable, *command],
            cwd=self.root,
            env=env,
            capture_output=True,
            check=False,
            text=True,
        )
        assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-3000:]}"

    def test(self, *paths):
        """Run tests, the style checks, and the check of pages on the copy."""
        self.run("-m", "pytest", "-n", "0", "-q", "-p", "no:cacheprovider", *paths)
        sources = [name for name in self.touched() if name.endswith(".py") and "/src/" in name]
        self.run("-m", "ruff", "check", "--quiet", "--no-cache", *sources)
        self.run("-m", "ruff", "format", "--check", "--quiet", "--no-cache", *sources)


def listed(section):
    """The files that a section of CONTRIBUTING lists, as patterns of paths."""
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    steps = text.split(f"\n## {section}\n")[1].split("\n## ")[0]
    assert re.search(r"^1\. ", steps, re.MULTILINE)
    return {
        path: re.compile(re.escape(path).replace(re.escape("..."), ".*"))
        for path in PATH.findall(steps)
    }


def assert_touches_what_is_listed(copy, section, **names):
    """Compare; the page's `my_...` files stand for those of the recipe."""
    patterns = {}
    for path, pattern in listed(section).items():
        name = next((new for old, new in names.items() if old in path), None)
        old = next((old for old in names if old in path), "")
        patterns[path] = re.compile(pattern.pattern.replace(old, name)) if name else pattern
    touched = copy.touched()

    assert [path for path, p in patterns.items() if not any(map(p.fullmatch, touched))] == []
    assert [t for t in touched if not any(p.fullmatch(t) for p in patterns.values())] == []


@pytest.fixture(name="copy")
def _copy(tmp_path):
    return Copy(tmp_path / "copy")


def test_adding_an_action_touches_the_listed_files_only(copy):
    shared, sdk = "shared/src/concordance_shared", "sdk/src/concordance_sdk"
    copy.before_line(f"{shared}/actions.py", "AnyAction = (", ACTION.lstrip("\n"))
    copy.replace(f"{shared}/actions.py", "    | EmitError\n)", "    | EmitError\n    | Truncate\n)")
    copy.replace(f"{shared}/actions.py", "    EmitError,\n)", "    EmitError,\n    Truncate,\n)")
    for path in (f"{shared}/__init__.py", f"{sdk}/__init__.py"):
        copy.import_name(path, "Truncate", after="ToolCalls")
    legality = f"{shared}/legality.py"
    copy.import_name(legality, "Truncate", after="ToolCalls")
    copy.replace(
        legality,
        "    Added: _ALWAYS | _ENDINGS | {ForceTokens, Backtrack},",
        "    Added: _ALWAYS | _ENDINGS | {ForceTokens, Backtrack, Truncate},",
    )
    copy.before_line(
        legality,
        "_VALUE_CHECKS",
        "def _check_truncate(action: Truncate, _event: Event, vocab_size: int) -> AnyAction:\n"
        "    del vocab_size\n"
        '    return Truncate(_count(action.length, "Truncate.length"))\n\n\n',
    )
    error = "    EmitError: _check_error,\n"
    copy.replace(legality, error, f"{error}    Truncate: _check_truncate,\n")
    builder = f"{sdk}/action_builder.py"
    copy.import_name(builder, "Truncate", after="ToolCalls")
    copy.before_line(
        builder,
        "    def emit_error",
        "    def truncate(self, length: int) -> Truncate:\n"
        '        """Keep the first `length` tokens of the completion. Allowed at `Added`.\n\n'
        "        Args:\n            length: The number of tokens to keep.\n"
        '        """\n        return Truncate(length)\n\n',
    )
    dispatch = f"{sdk}/host/dispatch.py"
    copy.import_name(dispatch, "Truncate", after="ToolCalls")
    copy.before_line(
        dispatch,
        "            case EmitError(",
        "            case Truncate(length):\n"
        "                self._backtrack(mod, event, max(0, state.num_completion - length))\n",
    )
    copy.before_line(
        "docs/events-and-actions.md",
        "| `EmitError` | `actions",
        "| `Truncate` | `actions.truncate(length)` | keeps the first `length` tokens |\n",
    )
    copy.append(
        "tests/sdk/host/test_dispatch.py",
        "\n\ndef test_truncate_keeps_the_first_tokens():\n"
        "    cut = on(Added, lambda _, actions: actions.truncate(0), when=lambda at: at.step)\n\n"
        '    assert play(cut, says="abc").text == "c"\n',
    )
    copy.run("tests/test_docs.py")

    assert_touches_what_is_listed(copy, "Add an action")
    copy.test(
        "tests/shared",
        "tests/sdk/host",
        "tests/test_docs.py",
        "tests/test_reference.py",
        "tests/inference/mods/compat/quote_mod_sdk/test_actions.py",
    )


def test_adding_a_constraint_touches_the_listed_files_only(copy):
    package = "sdk/src/concordance_sdk/constraints"
    copy.add(f"{package}/hex.py", CONSTRAINT)
    copy.before_line(
        f"{package}/__init__.py",
        "from concordance_sdk.constraints.json_schema",
        "from concordance_sdk.constraints.hex import Hex\n",
    )
    copy.replace(f"{package}/__init__.py", '    "Grammar",\n', '    "Grammar",\n    "Hex",\n')
    copy.add("tests/sdk/constraints/test_hex.py", CONSTRAINT_TEST)
    matcher = "tests/sdk/constraints/test_matcher.py"
    copy.import_name(matcher, "Hex", after="ChoicesStrat")
    copy.replace(matcher, "CONSTRAINTS = {\n", 'CONSTRAINTS = {\n    "hex": Hex(4),\n')
    copy.before_line(
        "docs/constraints.md", "| `Regex(pattern)`", "| `Hex(length)` | hexadecimal digits |\n"
    )
    copy.run("tests/test_docs.py")

    assert_touches_what_is_listed(copy, "Add a constraint", my_constraint="hex")
    copy.test(
        "tests/sdk/constraints/test_hex.py",
        matcher,
        "tests/test_docs.py",
        "tests/test_reference.py",
    )


def test_adding_a_route_touches_the_listed_files_only(copy):
    server = "inference/src/concordance_inference/server"
    copy.add(f"{server}/ping.py", ROUTE)
    copy.import_line(f"{server}/app.py", "from concordance_inference.server.ping import ping\n")
    copy.before_line(
        f"{server}/app.py",
        '    Endpoint("/v1/completions"',
        '    Endpoint("/v1/ping", ping),\n',
    )
    copy.add("tests/inference/server/test_ping.py", ROUTE_TEST)
    copy.before_line("docs/server.md", "`GET /healthz`, ", "## `GET /v1/ping`\n\nA ping.\n\n")

    assert_touches_what_is_listed(copy, "Add a route", my_route="ping")
    copy.test(
        "tests/inference/server/test_ping.py",
        "tests/inference/server/test_routes.py",
    )


def test_adding_a_command_touches_the_listed_files_only(copy):
    cli = "inference/src/concordance_inference/cli"
    copy.add(f"{cli}/hello.py", COMMAND)
    copy.append(f"{cli}/options.py", f"\n\n{COMMAND_OPTIONS.rstrip()}\n")
    copy.before_line(f"{cli}/main.py", "    ImportTraces,", "    Hello,\n")
    copy.before_line(f"{cli}/main.py", '@mods_app.command("new")', COMMAND_ENTRY)
    copy.add("tests/inference/cli/test_hello.py", COMMAND_TEST)
    copy.before_line(
        "inference/README.md", "concordance bench", "concordance hello you    # prints a greeting\n"
    )

    assert_touches_what_is_listed(copy, "Add a command", my_command="hello")
    copy.test("tests/inference/cli/test_hello.py")
