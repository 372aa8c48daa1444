"""`/`: a page that sends requests, shows each token and steers by hand. It loads nothing else."""

from importlib.resources import files

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

_FOLDER = files("concordance_inference.server.inspector") / "page"

#: Media types by the ends of names.
_TYPES = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}

#: The files of the page besides `index.html`.
_FILES = frozenset(
    entry.name for entry in _FOLDER.iterdir() if entry.name.rpartition(".")[2] in _TYPES
)

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


async def inspector_page(request: Request) -> Response:
    """Return the page that shows every token."""
    del request
    return _file("index.html", "text/html")


async def inspector_file(request: Request) -> Response:
    """Return a script, style sheet or picture of the page."""
    name: str = request.path_params["name"]
    if name not in _FILES:
        raise HTTPException(404)
    return _file(name, _TYPES[name.rpartition(".")[2]])


def _file(name: str, media_type: str) -> Response:
    text = (_FOLDER / name).read_text(encoding="utf-8")
    return Response(text, media_type=media_type, headers=_HEADERS)
