"""The grammar of the calls that a request allows: offered tools, with arguments that validate."""

import json
import re
from collections.abc import Mapping
from typing import Any

from concordance_sdk.constraints import Constraint, JsonSchema
from concordance_sdk.constraints.grammar_builder import Free, GrammarBuilder, literal
from concordance_sdk.constraints.keyed_object import KeyedObject
from concordance_sdk.constraints.schema.compiler import definitions_of, keyed_definitions_of
from concordance_sdk.constraints.schema.definitions import Definitions, Spaces
from concordance_shared import ConstraintError, SchemaError, Tool

from concordance_inference.tools.offer import ToolOffer, parameters_of

#: Keywords whose automata may be too large.
_RISKY = re.compile(
    r'"(?:pattern|patternProperties|propertyNames|(?:min|max)(?:Length|Items)|format|multipleOf)"'
)

#: White space of JSON, as `json.dumps` writes it.
_SPACES = Spaces('", "', '": "')

#: White space before the first call, which follows a reasoning.
_LEAD = "/\\n{1,2}/"


class CallGrammar:
    """A constraint to the calls of one message, in the format of the model.

    Its texts are exactly those that `CallReader` reads as complete calls of offered tools with
    arguments that follow their schemas. White space is where the chat template puts it.
    """

    def __init__(
        self,
        offer: ToolOffer,
        *,
        is_open: bool = False,
        may_follow_reasoning: bool = True,
        other: Constraint | None = None,
    ) -> None:
        """Allow calls.

        Args:
            offer: The tools.
            is_open: The text begins after the marker that opens the calls.
            may_follow_reasoning: The text may begin with white space.
            other: A constraint whose texts are allowed in place of calls.
        """
        self._offer = offer
        self._is_open = is_open
        self._may_follow_reasoning = may_follow_reasoning
        self._other = other

    def __repr__(self) -> str:
        return f"the calls of {', '.join(self._offer.by_name)}"[:80]

    def write(self, grammar: GrammarBuilder) -> Free:
        """Write the calls as a rule.

        Raises:
            SchemaError: The arguments of a tool cannot be enforced; `param` is their place.
        """
        layout = self._offer.format.layout
        one = " | ".join(self._call(grammar, tool) for tool in self._offer.tools)
        call = grammar.rule(one).expression
        lead = f"({_LEAD})?" if self._may_follow_reasoning else ""
        marker = "" if self._is_open else f"{lead} {self._texts(layout.marker)}"
        further = ""
        if self._offer.is_parallel and layout.again is not None:
            further = f"({self._texts(layout.again)} {call})*"
        head, close = self._texts(layout.head), self._texts(layout.close)
        calls = grammar.rule(f"{marker} {head} {call} {further} {close}")
        if self._other is None:
            return calls
        other = self._other.write(grammar)
        return grammar.rule(f"{calls.expression} | {other.expression}")

    def check(self) -> None:
        """Refuse tools whose arguments cannot be enforced.

        Raises:
            SchemaError: There is one; `param` is its place in the request.
        """
        self.write(GrammarBuilder())

    def find_fault(self) -> None:
        """Test each tool alone, if all of them together cannot be enforced.

        Raises:
            SchemaError: One cannot be enforced; `param` is its place in the request.
        """
        for tool in self._offer.tools:
            try:
                self._test(tool)
            except ConstraintError as exc:
                raise located_error(exc, self._offer.place(tool.function.name)) from exc

    def answer(self, text: str) -> str:
        """Return the text unchanged."""
        return text

    def value(self, text: str) -> str:
        """Return the text unchanged."""
        return text

    def _call(self, grammar: GrammarBuilder, tool: Tool) -> str:
        """The name of a tool, and its arguments."""
        layout, name = self._offer.format.layout, tool.function.name
        before = self._texts(name + layout.after_name)
        if layout.id is not None:
            own = f"{self._texts(name + layout.id.before)} /{layout.id.pattern}/"
            before = f"{own} {self._texts(layout.after_name)}"
        return f"{before} {self._arguments(grammar, tool)} {self._texts(layout.tail)}"

    def _arguments(self, grammar: GrammarBuilder, tool: Tool) -> str:
        place = self._offer.place(tool.function.name)
        kind: Any = (tool.function.parameters or {}).get("type", "object")
        if kind != "object" and not (isinstance(kind, list) and "object" in kind):
            raise located_error(
                ConstraintError("the arguments are of type 'object' (at #/type)"), place
            )
        try:
            if _RISKY.search(json.dumps(tool.function.parameters)):
                self._test(tool)
            return grammar.document(self._definitions(tool)).expression
        except ConstraintError as exc:
            raise located_error(exc, place) from exc

    def _definitions(self, tool: Tool) -> Definitions:
        """The grammar of the arguments of a tool.

        Raises:
            ConstraintError: They cannot be enforced.
        """
        keyed, schema = self._offer.format.keyed, json.dumps(parameters_of(tool))
        if keyed is not None:
            definitions, _ = keyed_definitions_of(schema, keyed)
        else:
            definitions = definitions_of(schema, _SPACES)
        if definitions.unique:
            raise ConstraintError(
                "'uniqueItems' is not supported in the arguments of a tool; leave it out"
            )
        return definitions

    def _test(self, tool: Tool) -> None:
        """Write random arguments of a tool, which takes longer than to compile them.

        Raises:
            ConstraintError: The automaton of the grammar is too large, or has a dead end.
        """
        keyed = self._offer.format.keyed
        if keyed is None:
            JsonSchema(parameters_of(tool))
        else:
            KeyedObject(parameters_of(tool), keyed)

    def _texts(self, text: str) -> str:
        """An expression for a text of the format, with its special tokens by id."""
        special = self._offer.format.special
        return " ".join(_piece(piece, special) for piece in _split(text, special))


def _split(text: str, special: Mapping[str, int]) -> list[str]:
    if not special:
        return [text] if text else []
    names = "|".join(sorted(map(re.escape, special), key=len, reverse=True))
    return [piece for piece in re.split(f"({names})", text) if piece]


def _piece(piece: str, special: Mapping[str, Any]) -> str:
    return f"<[{special[piece]}]>" if piece in special else literal(piece).expression


def located_error(exc: ConstraintError, place: str) -> SchemaError:
    """An error that names the place in the request, in place of the schema."""
    found = re.search(r" \(at #([^)]*)\)", exc.message)
    at = place + (found[1].replace("/", ".") if found else "")
    message = exc.message.replace(found[0], "") if found else exc.message
    message = re.sub(
        r"^(?:JsonSchema|KeyedObject)\(.*? cannot be enforced: ", "", message, flags=re.DOTALL
    )
    return SchemaError(f"{at}: {message}", param=at, mod="tools", event="prepare", step=0)
