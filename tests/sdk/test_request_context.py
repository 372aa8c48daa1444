"""The context that the mods of one request share: who may write, and values kept for it."""

import gc
import weakref

import pytest
from concordance_sdk.request_context import RequestContext, current_request, may_write


class Part:
    def __init__(self, begin, end):
        self.begin, self.end = begin, end

    def is_writing(self, step):
        return self.begin <= step < self.end


class OtherPart(Part):
    pass


@pytest.mark.parametrize(("step", "may"), [(2, True), (3, False), (7, False), (8, True)])
def test_no_writer_writes_inside_the_span_of_another(step, may):
    request = RequestContext()
    first = Part(3, 8)
    assert request.may_write(3, by=first)

    assert request.may_write(step, by=Part(0, 0)) is may
    assert request.may_write(step) is may


def test_a_writer_does_not_exclude_itself():
    request, part = RequestContext(), Part(3, 8)

    assert [request.may_write(step, by=part) for step in (3, 5)] == [True, True]


def test_writers_of_a_type_may_write_beside_each_other():
    request, first, second = RequestContext(), Part(3, 8), Part(3, 8)
    request.may_write(3, by=first)

    assert request.may_write(3, by=second, beside=Part)
    assert not request.may_write(3, by=second, beside=OtherPart)


def test_writers_of_other_requests_do_not_exclude_each_other():
    first, second = RequestContext(), RequestContext()
    part = Part(3, 8)
    first.may_write(3, by=part)

    assert second.may_write(3, by=Part(3, 8))


def test_replaced_writer_excludes_no_other():
    request, part = RequestContext(), Part(3, 8)
    request.may_write(3, by=part)
    del part
    gc.collect()

    assert request.may_write(5)


def test_peers_are_the_other_writers_of_the_same_type():
    request, first, second, other = RequestContext(), Part(0, 1), Part(0, 1), OtherPart(0, 1)
    for part in (first, second, other):
        request.may_write(0, by=part)

    assert set(request.peers_of(first)) == {second, other}  # a subclass is of the type
    assert request.peers_of(other) == []


def test_the_current_request_is_that_of_the_context():
    request = RequestContext()

    assert current_request() is None
    with request.entered():
        assert current_request() is request
    assert current_request() is None


def test_without_a_request_a_writer_may_always_write():
    assert may_write(3, by=Part(0, 9))


def test_request_context_is_freed_with_its_last_reference():
    request, part = RequestContext(), Part(3, 8)
    request.may_write(3, by=part)
    refs = [weakref.ref(request), weakref.ref(part)]
    del request, part
    gc.collect()

    assert [ref() for ref in refs] == [None, None]
