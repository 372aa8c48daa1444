"""Joins modules of the page into one script, for a file that loads nothing."""

import re
from collections.abc import Callable

#: `import { a, b as c } from "./x.js";`, on one line, as the modules of the page have it.
_IMPORT = re.compile(r'^import (?:\{([^}]*)\} from )?"\./(\w+\.js)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export ((?:async )?(?:function\*?|class|const) (\w+))", re.MULTILINE)
#: What no line may begin with afterwards.
_LEFT = re.compile(r"^(?:import|export)\b.*", re.MULTILINE)


def bundled(entry: str, read: Callable[[str], str]) -> str:
    """Return one script that does what a module and those that it imports do.

    Each module becomes a function, so that names of one do not collide with those of another.

    Args:
        entry: The name of the module.
        read: Returns the text of a module.

    Raises:
        ValueError: A module imports or exports in another form than those of the page do, or
            modules import each other in a circle.
    """
    found: dict[str, str] = {}
    _add(entry, read, found, ())
    return "const modules = {};\n" + "\n".join(found.values())


def _add(
    name: str, read: Callable[[str], str], found: dict[str, str], above: tuple[str, ...]
) -> None:
    if name in above:
        raise ValueError(f"modules import each other in a circle: {' -> '.join((*above, name))}")
    if name in found:
        return
    text = read(name)
    for imported in _IMPORT.finditer(text):
        _add(imported[2], read, found, (*above, name))
    found[name] = _as_function(name, text)


def _as_function(name: str, text: str) -> str:
    exported = ", ".join(match[2] for match in _EXPORT.finditer(text))
    body = _EXPORT.sub(r"\1", _IMPORT.sub(_binding, text))
    if left := _LEFT.search(body) or re.search(r"</script|<!--", body, re.IGNORECASE):
        raise ValueError(f"{name}: a file cannot have this line of a module: {left[0]!r:.100}")
    return f'modules["{name}"] = (() => {{\n{body}\nreturn {{ {exported} }};\n}})();'


def _binding(match: re.Match[str]) -> str:
    names, module = match.groups()
    if names is None:
        return ""
    return f'const {{{names.replace(" as ", ": ")}}} = modules["{module}"];\n'
