"""The mods of the pages pass `concordance mods test`: readers copy them."""

import msgspec
import pytest
from concordance_sdk.registry import collecting
from concordance_sdk.testing import check_conformance
from pages.programs import ROOT, WITH_CODE, run


def has_required_parameters(definition):
    fields = msgspec.structs.fields(definition.parameters) if definition.parameters else ()
    return any(field.required for field in fields)


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_CODE, ids=lambda p: str(p.relative_to(ROOT)))
def test_mods_of_a_page_follow_the_rules(page):
    with collecting() as mods:
        run(page)
    for definition in mods:
        if not has_required_parameters(definition):
            report = check_conformance(definition.target)
            assert report.is_passed, f"{definition.name}:\n{report}"
