"""Parts of a mod: objects that follow a request's events, to which the host forwards them."""

import pytest
from concordance_sdk import (
    Added,
    ForwardPass,
    InvalidActionError,
    ModDefinitionError,
    ModRaisedError,
    Prefilled,
    Sampled,
    mod,
    use,
)
from concordance_sdk.builtin import StopAt
from concordance_sdk.constraints import ChoicesStrat, Constrained
from concordance_sdk.flow import FlowEngine, FlowQuestion
from concordance_sdk.follower import Follower
from concordance_sdk.host import definition_of
from concordance_sdk.host.instance import InProcessMod
from concordance_sdk.request_context import RequestContext
from concordance_sdk.self_prompt import SelfPrompt
from concordance_sdk.testing import ByteTokenizer, play
from concordance_sdk.text import PhraseBan

YES_OR_NO = ChoicesStrat(["yes", "no"])


def instance(target):
    return InProcessMod(definition_of(target), {}, tokenizer=ByteTokenizer())


def made_of(*parts, **options):
    """A mod made of parts only, which are made for each request."""

    @mod(name="made", **options)
    class Made:
        def parts(self):
            return [make() for make in parts]

    return Made


class Log(Follower):
    """Appends each event that it is called for to a list."""

    def __init__(self, lines):
        self.lines = lines

    def added(self, event, actions, tokenizer):
        self.lines.append(("part", event.step))


# What parts do


@pytest.mark.parametrize(
    ("part", "says", "text"),
    [
        (lambda: Constrained(YES_OR_NO), "nope", "no"),
        (lambda: PhraseBan(["cat"]), "a cat", "a ?at"),
        (lambda: SelfPrompt(prompt="Sure? ", constraint=YES_OR_NO), "y!", "Sure? yes!"),
        (lambda: FlowEngine(entry_question=FlowQuestion("q", "Q", YES_OR_NO)), "y!", "Qyes\n!"),
    ],
    ids=["constraint", "phrase ban", "self-prompt", "flow"],
)
@pytest.mark.parametrize("stream", [False, True])
def test_parts_act_without_a_handler_that_forwards_events(part, says, text, stream):
    played = play(made_of(part), says=says, stream=stream)

    if text == "a ?at":
        assert "cat" not in played.text
    else:
        assert played.text == text


def test_each_request_has_parts_of_its_own():
    made = made_of(lambda: Constrained(YES_OR_NO))

    assert [play(made, says=says).text for says in ("y", "n", "y")] == ["yes", "no", "yes"]


def test_a_self_prompt_defined_once_can_be_a_part_in_several_requests():
    sure = SelfPrompt(prompt="Sure? ", constraint=YES_OR_NO)
    made = made_of(lambda: sure)

    assert [play(made, says=f"{said}!").text for said in "yn"] == ["Sure? yes!", "Sure? no!"]


def test_parts_are_called_in_order_before_the_handlers_of_their_mod():
    lines = []

    @mod
    class Made:
        def __init__(self):
            self.logs = [Log(lines), Log(lines)]

        def parts(self):
            return self.logs

        def added(self, event, actions):
            lines.append(("mod", event.step))

    play(Made, script="a", max_tokens=1)

    assert lines == [("part", 0), ("part", 0), ("mod", 0)]


def test_adjustments_of_several_parts_compose():
    class Ban(Follower):
        def __init__(self, byte):
            self.byte = byte

        def forward_pass(self, event, actions, tokenizer):
            return actions.adjust_logits(ban=[self.byte])

    made = made_of(*(lambda byte=byte: Ban(byte) for byte in b"ab"))

    assert not set(play(made, script="ab", max_tokens=2).text) & {*"ab"}


def test_a_mod_sees_in_the_next_event_what_its_part_forced():
    seen = []

    class Force(Follower):
        def added(self, event, actions, tokenizer):
            return actions.force_tokens(b"!") if event.step == 0 else None

    @mod
    class Made:
        def parts(self):
            return [Force()]

        def added(self, event, actions):
            seen.append((event.step, bytes(event.added_tokens)))

    play(Made, script="axb", max_tokens=3)

    assert seen[0] == (0, b"a!")


def test_parts_are_prepared_before_the_first_event():
    lines = []

    class Prepared(Follower):
        def prepare(self, tokenizer):
            lines.append(("prepare", tokenizer.vocab_size))

    play(made_of(Prepared), script="a")

    assert lines == [("prepare", ByteTokenizer().vocab_size)]


def test_parts_may_depend_on_parameters_and_on_prepare():
    @mod
    class Made:
        words: list[str]

        def __init__(self):
            self._parts = []

        def prepare(self, tokenizer):
            self._parts.append(PhraseBan(self.words))

        def parts(self):
            return self._parts

    assert "cat" not in play(Made, script="a cat", parameters={"words": ["cat"]}).text


# Which events parts are called for


def test_parts_are_called_only_for_events_whose_methods_they_define():
    part, itself = instance(made_of(lambda: Log([]))).instances

    assert [e for e in (Prefilled, ForwardPass, Sampled, Added) if part.listens_to(e)] == [Added]
    assert not itself.listens_to(Added)


def test_an_object_with_the_methods_is_a_part_without_inheriting():
    class Plain:
        def forward_pass(self, event, actions, tokenizer):
            return actions.force_tokens(b"!") if event.step == 0 else None

    assert play(made_of(Plain), says="a").text == "!a"


# Errors


@pytest.mark.parametrize(
    ("returned", "words"), [(3, "returned 3"), (["x"], "'x' that has none of")]
)
def test_what_is_no_list_of_parts_is_refused(returned, words):
    @mod(name="made")
    class Made:
        def parts(self):
            return returned

    with pytest.raises(ModDefinitionError, match=rf"'made'.*{words}"):
        play(Made, script="")


def test_the_same_part_twice_is_refused():
    @mod(name="made")
    class Made:
        def parts(self):
            return [Log([]), *[Holding(1)] * 2]

    with pytest.raises(ModDefinitionError, match=r"'made'.*Holding.* twice"):
        play(Made, script="")


def test_a_class_in_place_of_a_part_is_refused():
    @mod(name="made")
    class Made:
        def parts(self):
            return [Log]

    with pytest.raises(ModDefinitionError, match="'made'.*returned the class Log"):
        play(Made, script="")


def test_an_error_of_a_generator_of_parts_is_the_mods():
    @mod(name="made")
    class Made:
        def parts(self):
            yield Log([])
            raise ValueError("kaput")

    with pytest.raises(ModRaisedError, match=r"'made' raised ValueError at parts .*kaput"):
        play(Made, script="")


def test_a_method_parts_that_takes_arguments_is_refused():
    class Made:
        def parts(self, tokenizer): ...

    with pytest.raises(ModDefinitionError, match="`parts` takes no argument but self"):
        mod(Made)


def test_a_class_attribute_parts_is_refused_since_requests_would_share_it():
    class Made:
        parts = (Log([]),)

        def added(self, event, actions): ...

    with pytest.raises(ModDefinitionError, match="`parts` is a method"):
        mod(Made)


@pytest.mark.parametrize("name", ["parts", "mods"])
def test_a_property_in_place_of_a_method_is_refused_since_no_one_would_call_it(name):
    class Made:
        def added(self, event, actions): ...

    setattr(Made, name, property(lambda self: [Log([])]))

    with pytest.raises(ModDefinitionError, match=f"`{name}` is a property; make it a method"):
        mod(Made)


def test_errors_of_a_part_name_its_mod():
    class Raises(Follower):
        def added(self, event, actions, tokenizer):
            raise ValueError("kaput")

    class Wrong(Follower):
        def sampled(self, event, actions, tokenizer):
            return actions.adjust_logits(ban=[1])

    with pytest.raises(ModRaisedError, match=r"'made' raised ValueError at Added .*kaput"):
        play(made_of(Raises), script="a")
    with pytest.raises(InvalidActionError, match="'made'"):
        play(made_of(Wrong), script="a")


# What a stream holds back


class Holding(Follower):
    def __init__(self, count):
        self.count = count

    @property
    def max_backtrack(self):
        return self.count

    def added(self, event, actions, tokenizer): ...


@pytest.mark.parametrize(
    ("declared", "of_parts", "held"),
    [
        (0, [], 0),
        (0, [3], 3),
        (9, [3], 9),
        (9, [3, 50], 50),
        (0, [3, None], None),
        (None, [3], None),
    ],
)
def test_a_stream_holds_back_the_most_of_a_mod_and_its_parts(declared, of_parts, held):
    made = made_of(
        lambda: Log([]),
        *(lambda count=count: Holding(count) for count in of_parts),
        max_backtrack=declared,
    )

    assert instance(made).max_backtrack == held


def test_a_mod_made_of_parts_that_declares_nothing_holds_back_the_default():
    assert instance(made_of(lambda: Holding(3))).max_backtrack == 32


@pytest.mark.parametrize(
    ("part", "held"),
    [
        (lambda: Constrained(YES_OR_NO), 0),
        (lambda: Constrained(YES_OR_NO, ends=False), 1),
        (lambda: Constrained(YES_OR_NO, after="A"), 4),
        (lambda: PhraseBan(["cat"]), 32),
        (lambda: PhraseBan(["x" * 40]), 44),
        (lambda: SelfPrompt(prompt="Q", constraint=YES_OR_NO), 1),
        (lambda: SelfPrompt(prompt="Q", constraint=YES_OR_NO, erase="all"), 1),
    ],
)
def test_parts_of_the_sdk_say_how_much_a_stream_holds_back_for_them(part, held):
    assert part().max_backtrack == held


def test_max_backtrack_can_be_a_property_that_depends_on_parameters():
    @mod(name="made", max_backtrack=500)
    class Made:
        phrase: str

        @property
        def max_backtrack(self):
            return len(self.phrase)

        def added(self, event, actions): ...

    made = InProcessMod(definition_of(Made), {"phrase": "abc"}, tokenizer=ByteTokenizer())

    assert made.max_backtrack == 3


@pytest.mark.parametrize("count", [-1, "3", True])
def test_a_max_backtrack_of_a_request_that_is_no_count_is_refused(count):
    @mod(name="made")
    class Made:
        def __init__(self):
            self.max_backtrack = count

        def added(self, event, actions): ...

    with pytest.raises(ModDefinitionError, match="'made'.*max_backtrack is a number of tokens"):
        instance(Made)


@pytest.mark.parametrize("count", [-1, "3", True, 2.5])
def test_a_max_backtrack_of_a_part_that_is_no_count_is_refused(count):
    with pytest.raises(ModDefinitionError, match="'made'.*Holding.*max_backtrack is a number of"):
        instance(made_of(lambda: Holding(count)))


def test_an_attribute_error_in_the_property_max_backtrack_is_raised():
    class Part(Holding):
        @property
        def max_backtrack(self):
            return self.missing

    @mod(name="made")
    class Made:
        @property
        def max_backtrack(self):
            return self.missing

        def added(self, event, actions): ...

    for broken in (Made, made_of(lambda: Part(1))):
        with pytest.raises(ModRaisedError, match=r"'made' raised AttributeError at max_backtrack"):
            instance(broken)


def test_a_parameter_named_max_backtrack_is_only_a_parameter():
    @mod(name="made", max_backtrack=7)
    class Made:
        max_backtrack: int = 500

        def added(self, event, actions): ...

    made = InProcessMod(definition_of(Made), {"max_backtrack": 900}, tokenizer=ByteTokenizer())

    assert made.max_backtrack == 7


def test_contained_mods_have_the_request_context_of_their_container():
    inner = made_of(lambda: Log([]))

    @mod
    class Outer:
        def mods(self):
            return [inner]

    request = RequestContext()
    made = InProcessMod(definition_of(Outer), {}, tokenizer=ByteTokenizer(), request=request)

    assert [each.name for each in made.instances] == ["outer", "outer/made", "outer/made"]
    assert made.instances[-1].request is request


def test_a_part_follows_the_end_of_its_request():
    ends = []

    class End(Follower):
        def finished(self, event, actions, tokenizer):
            ends.append(event.finish_reason.value)

    play(made_of(End), says="ab")

    assert ends == ["stop"]


def test_a_method_of_a_part_may_leave_out_the_tokenizer():
    class Stop(Follower):
        def forward_pass(self, event, actions):
            return actions.stop() if event.step == 1 else None

    assert play(made_of(Stop), says="abc").text == "a"


def test_an_attribute_of_a_part_may_have_the_name_of_an_event():
    class Flag(Follower):
        finished = False

        def added(self, event, actions):
            self.finished = True

    assert play(made_of(Flag), says="ab").text == "ab"


def part_with(name, method):
    return type("Faulty", (Follower,), {name: method, "sampled": lambda self, event, actions: None})


@pytest.mark.parametrize(
    ("name", "method", "message"),
    [
        ("added", lambda self, event: None, "`added` takes (self, event); it must take (self, "),
        ("added", lambda event, actions, tokenizer: None, "`added` lacks `self`"),
        ("finished", lambda self: None, "`finished` takes (self)"),
        ("added", lambda self, actions, event: None, "would be the event"),
        ("forward", lambda self, event, actions: None, "did you mean 'forward_pass'?"),
        ("on_added", lambda self, event, actions: None, "did you mean 'added'?"),
    ],
)
def test_a_method_of_a_part_that_cannot_be_called_is_rejected_before_the_request(
    name, method, message
):
    made = made_of(part_with(name, method))

    for _ in "ab":  # the second request, too
        with pytest.raises(ModDefinitionError) as refused:
            instance(made)
        assert "mod 'made': its part Faulty: " in refused.value.message
        assert message in refused.value.message


def test_an_async_method_of_a_part_is_rejected():
    async def added(self, event, actions):
        return None

    with pytest.raises(ModDefinitionError, match="`added` is async"):
        instance(made_of(part_with("added", added)))


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (StopAt, "returned the mod <class .*; list mods in `mods"),
        (use(StopAt, phrases=["x"]), "returned the mod .*; list mods in `mods"),
        (ChoicesStrat(["a"]), "returned the constraint .*; return Constrained"),
    ],
)
def test_a_mod_or_constraint_in_place_of_a_part_says_where_it_belongs(part, message):
    with pytest.raises(ModDefinitionError, match=message):
        instance(made_of(lambda: part))


def test_a_part_in_place_of_a_mod_says_where_it_belongs():
    with pytest.raises(ModDefinitionError, match=r"is not a mod; a part is listed in `parts"):
        play(PhraseBan(["x"]), says="a")


def test_mods_in_a_list_are_given_one_by_one():
    with pytest.raises(ModDefinitionError, match="is not a mod; give the mods one by one"):
        play([StopAt], says="a")
