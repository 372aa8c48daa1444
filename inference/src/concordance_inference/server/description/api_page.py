"""`/docs`: a page that shows `/openapi.json` and sends requests. It loads nothing else."""

from starlette.requests import Request
from starlette.responses import Response

from concordance_inference.server.transport.page_files import PageFiles

_FILES = PageFiles("concordance_inference.server.description", "pages")


async def api_page(request: Request) -> Response:
    """Return the page of the API."""
    del request
    return _FILES.page("api.html")


async def api_page_file(request: Request) -> Response:
    """Return a script or style sheet of the page."""
    return _FILES.part(request.path_params["name"])
