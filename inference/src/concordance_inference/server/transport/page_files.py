"""Files of a page that the package carries. A page loads nothing else."""

from importlib.resources import files
from pathlib import PurePath

from starlette.exceptions import HTTPException
from starlette.responses import Response

#: Media types by the ends of names.
_TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
}


class PageFiles:
    """The files of a folder of a package, with headers that let them load only each other.

    Attributes:
        parts: The names of scripts, style sheets and pictures.
    """

    def __init__(self, package: str, folder: str, *, images: bool = False) -> None:
        """Find the files.

        Args:
            package: The package.
            folder: The folder in it.
            images: The page has pictures.
        """
        self._folder = files(package) / folder
        known = _TYPES.keys() - {".html"}
        names = (entry.name for entry in self._folder.iterdir())
        self.parts = frozenset(name for name in names if PurePath(name).suffix in known)
        pictures = "img-src 'self'; " if images else ""
        self._headers = {
            "Content-Security-Policy": (
                f"default-src 'none'; script-src 'self'; style-src 'self'; {pictures}"
                "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
            ),
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-cache",
        }

    def page(self, name: str) -> Response:
        """Return the page itself.  HTML"""
        return self._response(name)

    def part(self, name: str) -> Response:
        """Return a script, style sheet or picture.

        Raises:
            HTTPException: There is none of this name (404).
        """
        if name not in self.parts:
            raise HTTPException(404)
        return self._response(name)

    def _response(self, name: str) -> Response:
        text = (self._folder / name).read_text(encoding="utf-8")
        return Response(text, media_type=_TYPES[PurePath(name).suffix], headers=self._headers)
