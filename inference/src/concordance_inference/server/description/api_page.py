"""`/docs`: a page that shows `/openapi.json` and sends requests. It loads nothing else."""

from importlib.resources import files

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

_FOLDER = files("concordance_inference.server.description") / "pages"

#: The files of the page besides `api.html`, and their media types.
_FILES = {"api.js": "text/javascript", "api.css": "text/css"}

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


async def api_page(request: Request) -> Response:
    """Return the page of the API."""
    del request
    return _file("api.html", "text/html")


async def api_page_file(request: Request) -> Response:
    """Return a script or style sheet of the page."""
    name: str = request.path_params["name"]
    if name not in _FILES:
        raise HTTPException(404)
    return _file(name, _FILES[name])


def _file(name: str, media_type: str) -> Response:
    text = (_FOLDER / name).read_text(encoding="utf-8")
    return Response(text, media_type=media_type, headers=_HEADERS)
