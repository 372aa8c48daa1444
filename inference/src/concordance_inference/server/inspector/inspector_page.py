"""`/`: a page that sends requests, shows each token and steers by hand. It loads nothing else."""

from starlette.requests import Request
from starlette.responses import Response

from concordance_inference.server.transport.page_files import PageFiles

_FILES = PageFiles("concordance_inference.server.inspector", "page", images=True)


async def inspector_page(request: Request) -> Response:
    """Return the page that shows every token."""
    del request
    return _FILES.page("index.html")


async def inspector_file(request: Request) -> Response:
    """Return a script, style sheet or picture of the page."""
    return _FILES.part(request.path_params["name"])
