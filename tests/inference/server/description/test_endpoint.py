import pytest
from concordance_inference.server.app import ROUTES
from concordance_inference.server.description.endpoint import Endpoint


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path)
def test_every_route_describes_its_requests(route):
    assert isinstance(route, Endpoint)
    assert route.endpoint.__doc__
    if route.method == "POST" and not route.path.endswith(("/cancel", "/load", "/unload")):
        assert route.body is not None
