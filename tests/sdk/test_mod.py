"""Defining a mod: what is accepted, and what the author is told when it is not."""

import sys
from typing import ClassVar, Literal

import pytest
from concordance_sdk import (
    Added,
    Finished,
    ForwardPass,
    ModDefinitionError,
    Prefilled,
    Sampled,
    mod,
)
from concordance_sdk.host import definition_of, registry
from concordance_sdk.registry import collecting


def plain(event, actions): ...


def test_decorator_returns_the_same_function():
    def greet(event, actions):
        return 1

    assert mod(greet) is greet
    assert greet(None, None) == 1


def test_decorator_returns_the_same_class():
    class Greet:
        def added(self, event, actions): ...

    assert mod(max_backtrack=3)(Greet) is Greet
    assert definition_of(Greet).max_backtrack == 3


def test_mod_is_registered_under_its_name():
    @mod
    def registered_here(event, actions): ...

    assert registry.get("registered_here").target is registered_here


def test_collecting_collects_definitions_made_inside():
    with collecting() as collected:

        @mod
        def caught(event, actions): ...

    assert [d.name for d in collected] == ["caught"]
    assert registry.get("caught") is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [("NoCats", "no_cats"), ("swap", "swap"), ("JSONGuard2Go", "jsonguard2_go")],
)
def test_default_name_is_the_definition_name_in_snake_case(name, expected):
    cls = type(name, (), {"added": lambda self, event, actions: None})

    assert definition_of(mod(cls)).name == expected


def test_name_can_be_set():
    @mod(name="other-name")
    def f(event, actions): ...

    assert definition_of(f).name == "other-name"


@pytest.mark.parametrize("name", ["", "UPPER", "a/b", "a+b", "-x", "x" * 65, "é"])
def test_invalid_name_is_rejected(name):
    with pytest.raises(ModDefinitionError, match="lower-case letters"):
        mod(name=name)(plain)


def test_function_handles_every_event_by_default():
    @mod
    def f(event, actions): ...

    assert set(definition_of(f).handlers) == {Prefilled, ForwardPass, Sampled, Added, Finished}


def test_function_handles_only_events_in_on():
    @mod(on=[Added])
    def f(event, actions): ...

    assert set(definition_of(f).handlers) == {Added}


def test_class_handles_the_events_of_its_methods():
    @mod
    class M:
        def forward_pass(self, event, actions): ...

        def finished(self, event, actions, tokenizer): ...

    handlers = definition_of(M).handlers

    assert set(handlers) == {ForwardPass, Finished}
    assert not handlers[ForwardPass].takes_tokenizer
    assert handlers[Finished].takes_tokenizer


def test_handlers_can_be_inherited():
    class Base:
        def added(self, event, actions): ...

    @mod
    class Derived(Base): ...

    assert set(definition_of(Derived).handlers) == {Added}


def test_parameters_are_annotated_attributes():
    @mod
    class M:
        find: str
        times: int = 1
        mode: Literal["a", "b"] = "a"
        tags: list[str] = []  # noqa: RUF012
        _private: int = 3
        shared: ClassVar[int] = 0

        def added(self, event, actions): ...

    assert definition_of(M).parameters.__struct_fields__ == ("find", "times", "mode", "tags")


def refused(target, why):
    with pytest.raises(ModDefinitionError) as caught:
        mod(target)
    assert __file__ in caught.value.message
    for word in why:
        assert word in caught.value.message


def test_handler_without_actions_is_rejected():
    def f(event): ...

    refused(f, ["takes (event)", "(event, actions, tokenizer)"])


def test_handler_with_too_many_arguments_is_rejected():
    def f(a, b, c, d): ...

    refused(f, ["takes (a, b, c, d)"])


def test_arguments_in_the_wrong_order_are_rejected():
    def f(event, tokenizer):
        pass

    class C:
        def added(self, tokenizer, actions):
            pass

    refused(f, ["takes (event, tokenizer)", "its 'tokenizer' would be the actions"])
    refused(C, ["takes (tokenizer, actions)", "its 'tokenizer' would be the event"])


def test_handler_with_a_required_keyword_argument_is_rejected():
    def f(event, actions, *, more): ...

    refused(f, ["more"])


def test_handler_with_var_args_gets_the_tokenizer():
    def f(*args): ...

    assert definition_of(mod(f)).handlers[Added].takes_tokenizer


def test_async_handler_is_rejected():
    async def f(event, actions): ...

    refused(f, ["async"])


def test_generator_handler_is_rejected():
    def f(event, actions):
        yield

    refused(f, ["yields steps", "(run, ...)"])


def test_class_without_handlers_is_rejected_with_the_list_of_names():
    class M:
        def work(self): ...

    refused(M, ["prefilled, forward_pass, sampled, added, finished"])


@pytest.mark.parametrize(
    "name", ["on_added", "forwardpass", "forward_passes", "sample", "on_token"]
)
def test_misspelled_handler_is_rejected(name):
    cls = type("M", (), {name: lambda self, e, a: None, "added": lambda self, e, a: None})

    with pytest.raises(ModDefinitionError, match=f"`{name}` is no event's name"):
        mod(cls)


def test_constructor_with_arguments_is_rejected():
    class M:
        def __init__(self, words): ...

        def added(self, event, actions): ...

    refused(M, ["__init__", "annotated attributes"])


def test_parameter_that_cannot_be_validated_is_rejected():
    class M:
        stream: sys.stdout.__class__

        def added(self, event, actions): ...

    refused(M, ["parameters", "plain types", "`stream: "])


def test_parameter_of_an_unknown_type_is_rejected():
    class M:
        words: "Nowhere"  # noqa: F821

        def added(self, event, actions): ...

    refused(M, ["Nowhere"])


@pytest.mark.parametrize("bad", [-1, 1.5, True, "3"])
def test_invalid_max_backtrack_is_rejected(bad):
    with pytest.raises(ModDefinitionError, match="max_backtrack"):
        mod(max_backtrack=bad)(plain)


def test_empty_on_is_rejected():
    with pytest.raises(ModDefinitionError, match="Prefilled, ForwardPass"):
        mod(on=[])(plain)


@pytest.mark.parametrize("on", [[int], ["added"], Added])
def test_on_rejects_anything_but_a_list_of_events(on):
    with pytest.raises(ModDefinitionError, match="`on` lists events"):
        mod(on=on)(plain)


def test_on_is_rejected_for_classes():
    class M:
        def added(self, event, actions): ...

    with pytest.raises(ModDefinitionError, match="`on` is for functions"):
        mod(on=[Added])(M)


def test_object_that_is_not_callable_is_rejected():
    with pytest.raises(ModDefinitionError):
        definition_of(3)


@pytest.mark.parametrize(
    ("events", "held"), [([Prefilled, Finished], 0), ([Added], 32), ([ForwardPass], 32)]
)
def test_only_mods_that_can_backtrack_hold_back_a_stream(events, held):
    @mod(on=events)
    def f(event, actions): ...

    assert definition_of(f).max_backtrack == held


def test_bare_callable_is_a_mod():
    assert definition_of(lambda event, actions: None).name == "lambda"


def test_unregistered_mod_is_validated_and_marked():
    @mod(registered=False)
    def kept_apart(event, actions): ...

    assert definition_of(kept_apart).name == "kept_apart"
    assert registry.get("kept_apart") is None


def refusal_of(make):
    with pytest.raises(ModDefinitionError) as refused:
        make()
    return refused.value.message


def class_with(name, value):
    return lambda: mod(type("Faulty", (), {name: value, "sampled": lambda self, e, a: None}))


@pytest.mark.parametrize("name", ["prefilled", "forward_pass", "added", "finished"])
@pytest.mark.parametrize(
    "method", [lambda event, actions: None, lambda event, actions, tokenizer: None]
)
def test_a_handler_without_self_is_rejected_by_what_it_lacks(name, method):
    message = refusal_of(class_with(name, method))

    assert f"the handler `{name}` lacks `self`: it takes (self, event, actions" in message


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("prepare", lambda tokenizer: None, "`prepare` takes (self, tokenizer)"),
        ("parts", lambda *, x: [x], "`parts` takes no argument but self"),
        ("__init__", lambda: None, "__init__ lacks `self`: def __init__(self)"),
        ("added", lambda self: None, "takes (self); it must take (self, event, actions) or"),
        ("added", staticmethod(lambda event, actions: None), "`added` is a staticmethod; make it"),
        ("added", classmethod(lambda cls, event, actions: None), "`added` is a classmethod; make"),
        ("added", property(lambda self: None), "is a property; make it a method: def added(self,"),
        ("added", print, "`added` is an object; make it a method: def added(self, event, actions)"),
        ("prepare", staticmethod(len), "make it a method: def prepare(self, tokenizer)"),
        ("parts", property(lambda self: []), "`parts` is a property; make it a method: def parts("),
        ("mods", classmethod(lambda cls: []), "`mods` is a classmethod; make it a method"),
    ],
)
def test_a_special_name_that_is_no_method_is_rejected(name, value, message):
    assert message in refusal_of(class_with(name, value))


def test_an_async_method_or_a_generator_that_would_do_nothing_is_rejected():
    async def parts(self):
        return []

    async def prepare(self, tokenizer):
        return

    def yielding(self, tokenizer):
        yield

    assert "`parts` is async" in refusal_of(class_with("parts", parts))
    assert "`prepare` is async" in refusal_of(class_with("prepare", prepare))
    assert "remove its `yield`" in refusal_of(class_with("prepare", yielding))


def test_a_function_with_self_is_rejected():
    assert "takes `self`; only a method" in refusal_of(
        lambda: mod(lambda self, event, actions: None)
    )


def test_a_parameter_may_have_the_name_of_an_event():
    @mod
    class Named:
        added: bool = False

        def finished(self, event, actions): ...

    assert list(definition_of(Named).handlers) == [Finished]


@pytest.mark.parametrize(
    ("name", "handler"),
    [
        ("forward", "forward_pass"),
        ("forwardPass", "forward_pass"),
        ("logits", "forward_pass"),
        ("token", "added"),
        ("on_add", "added"),
        ("finish", "finished"),
        ("prefill", "prefilled"),
        ("handle_sample", "sampled"),
    ],
)
def test_a_method_that_is_called_like_an_event_suggests_the_handler(name, handler):
    message = refusal_of(class_with(name, lambda self, event, actions: None))

    assert f"its method `{name}` is no event's name; did you mean '{handler}'?" in message


def test_a_method_of_the_mods_own_may_have_any_other_name():
    @mod
    class Own:
        def added(self, event, actions):
            return self.answer(event, actions) or self.token(3)

        def answer(self, event, actions): ...

        def token(self, n): ...

    assert list(definition_of(Own).handlers) == [Added]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: mod("greet"), "not 'greet'; a name is given as @mod(name='greet')"),
        (lambda: mod([Added]), "; events are listed as @mod(on=[...])"),
        (lambda: mod(3), "@mod marks a function or a class, not 3"),
        (lambda: mod(Added), "Added is an event: @mod(on=[Added]) lists it"),
        (lambda: mod(on=Added)(lambda event, actions: None), "`on` lists events: on=[Added]"),
        (lambda: mod(on=["added"])(lambda event, actions: None), "`on` lists events"),
        (lambda: mod(on="Added")(lambda event, actions: None), "`on` lists events"),
    ],
)
def test_a_wrong_argument_of_the_decorator_says_how_to_write_it(make, message):
    assert message in refusal_of(make)


def test_a_parameter_of_a_function_is_rejected_since_it_would_be_the_tokenizer():
    def censor(event, actions, word="x"): ...

    assert "would receive the tokenizer as its 'word'" in refusal_of(lambda: mod(censor))


@pytest.mark.parametrize(
    "function", [lambda event, actions, tok=3: None, lambda event, actions, anything: None]
)
def test_the_third_argument_may_have_another_name(function):
    assert definition_of(function).handlers[Added].takes_tokenizer
