"""The variables of a chat template that requests may set."""

from jinja2 import TemplateError, meta
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from concordance_inference.chat.written_template import Generation

#: Variables that the server sets, and requests cannot.
_RESERVED = frozenset(
    {
        "messages",
        "tools",
        "documents",
        "add_generation_prompt",
        "continue_final_message",
        "raise_exception",
        "strftime_now",
        "dict",
        "namespace",
        "range",
        "lipsum",
        "cycler",
        "joiner",
    }
)


def variables_of(source: str) -> frozenset[str]:
    """Return the variables that a template reads and does not set.

    Those that the server sets are left out: a request cannot replace the messages or the tools.
    """
    environment = ImmutableSandboxedEnvironment(extensions=[Generation, loopcontrols])
    try:
        return frozenset(meta.find_undeclared_variables(environment.parse(source))) - _RESERVED
    except TemplateError:
        return frozenset()
