"""What an engine imports to run mods; mod authors need none of it."""

from concordance_shared import LEGAL_ACTIONS, check_action, legal_names

from concordance_sdk.definition import ModDefinition
from concordance_sdk.mod import definition_of, marked_definition
from concordance_sdk.registry import ModRegistry, collecting, registry

__all__ = [
    "LEGAL_ACTIONS",
    "ModDefinition",
    "ModRegistry",
    "check_action",
    "collecting",
    "definition_of",
    "legal_names",
    "marked_definition",
    "registry",
]
