"""The built-in mods that a server offers: those of the SDK, and the one that compiles schemas."""

from concordance_inference.mods.json_schema import JsonSchemaMod
from concordance_inference.mods.loading import load_entry_points
from concordance_sdk import builtin
from concordance_sdk.host import definition_of
from sandboxes import mod_catalog

BUILTIN = [definition_of(getattr(builtin, name)) for name in builtin.__all__]


def test_served_builtin_mods_are_those_of_the_sdk():
    served = {definition.name: definition for definition in load_entry_points()}

    assert served == {d.name: d for d in [*BUILTIN, definition_of(JsonSchemaMod)]}


def test_served_builtin_mods_take_the_parameters_of_the_sdk():
    catalog = mod_catalog()

    for definition in BUILTIN:
        assert catalog.get(definition.name).definition.parameters is definition.parameters
