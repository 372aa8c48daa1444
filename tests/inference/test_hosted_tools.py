import asyncio
import threading

import pytest
from concordance_inference.hosted_tools import (
    HostedLimits,
    HostedTools,
    load_hosted_tools,
    recipients_of,
)
from concordance_sdk import HostedCall, HostedTool
from concordance_shared import InvalidRequestError, ModLoadError


class Python(HostedTool):
    name = "python"

    def run(self, call):
        if call.text == "wait":
            threading.Event().wait(5)
        return str(eval(call.text))


class Browser(HostedTool):
    name = "browser"
    content = "json"

    def run(self, call):
        return f"{call.function}: {call.text}"


def wait(tools, text):
    return tools.start(tools.chosen(None)[0], HostedCall(text=text)).wait()


def test_a_result_is_what_the_tool_returns():
    result = wait(HostedTools([Python()]), "6 * 7")
    assert (result.text, result.is_error) == ("42", False)


def test_an_error_of_a_tool_is_a_result_that_says_so():
    result = wait(HostedTools([Python()]), "1 / 0")
    assert (result.text, result.is_error) == ("Error: ZeroDivisionError: division by zero", True)


def test_a_tool_that_takes_too_long_is_an_error_on_threads_and_on_event_loops():
    tools = HostedTools([Python()], HostedLimits(seconds=0.05))
    assert wait(tools, "wait").text == "Error: python did not answer within 0.05 s"
    running = tools.start(Python(), HostedCall(text="wait"))
    assert asyncio.run(running.wait_async()).is_error


def test_a_long_result_is_cut():
    tools = HostedTools([Python()], HostedLimits(characters=10))
    assert wait(tools, "'x' * 100").text == "xxxxxxxxxx\n[cut after 10 characters]"


def test_tools_are_addressed_by_name_or_by_function():
    assert recipients_of(Python()) == ("python",)
    assert recipients_of(Browser()) == ("browser.search", "browser.open", "browser.find")


def test_requests_choose_among_the_tools():
    tools = HostedTools([Python(), Browser()])
    assert [tool.name for tool in tools.chosen(None)] == ["python", "browser"]
    assert [tool.name for tool in tools.chosen(["browser"])] == ["browser"]
    assert tools.chosen([]) == ()
    with pytest.raises(InvalidRequestError, match="there is no hosted tool 'shell'; there are"):
        tools.chosen(["shell"])
    with pytest.raises(InvalidRequestError, match="serve --tools"):
        HostedTools().chosen(["python"])


@pytest.mark.parametrize(
    ("tool", "message"),
    [
        (type("A", (HostedTool,), {"name": ""})(), "is not a name"),
        (type("A", (HostedTool,), {"name": "functions"})(), "is not a name"),
        (type("A", (HostedTool,), {"name": "clock"})(), "it has no instructions"),
        (Python(), "Python has the name 'python' too"),
    ],
)
def test_a_wrong_tool_is_refused(tool, message):
    with pytest.raises(ModLoadError, match=message):
        HostedTools([Python(), tool])


def test_tools_of_a_file(tmp_path):
    file = tmp_path / "tools.py"
    file.write_text(
        "from concordance_sdk import HostedTool\n"
        "class Clock(HostedTool):\n"
        "    name = 'clock'\n"
        "    instructions = 'Tells the time.'\n"
        "    def run(self, call):\n"
        "        return 'noon'\n"
    )
    (clock,) = load_hosted_tools([file]).chosen(None)
    assert clock.run(HostedCall(text="")) == "noon"


@pytest.mark.parametrize(
    ("text", "message"),
    [("x = 1", "it defines no tool"), ("1 / 0", "ZeroDivisionError"), ("(", "SyntaxError")],
)
def test_a_file_without_tools_is_refused(tmp_path, text, message):
    file = tmp_path / "tools.py"
    file.write_text(text)
    with pytest.raises(ModLoadError, match=message):
        load_hosted_tools([file])


class Hostile(HostedTool):
    name = "python"

    def run(self, call):
        if call.text == "exit":
            raise SystemExit(3)
        if call.text == "unprintable":
            raise type("Odd", (Exception,), {"__str__": lambda _: 1 / 0})
        if call.text == "timeout":
            raise TimeoutError("no route to host")
        if call.text == "surrogate":
            return "\ud800"
        return object()


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("exit", "Error: SystemExit: 3"),
        ("unprintable", "Error: Odd"),
        ("timeout", "Error: TimeoutError: no route to host"),
        ("surrogate", "?"),
    ],
)
def test_what_a_tool_does_to_the_server_is_a_result(text, result):
    tools = HostedTools([Hostile()])
    assert wait(tools, text).text == result
    running = tools.start(Hostile(), HostedCall(text=text))
    assert asyncio.run(running.wait_async()).text == result


def test_a_call_that_does_not_begin_in_time_says_so():
    release = threading.Event()

    class Stuck(HostedTool):
        name = "python"

        def run(self, call):
            release.wait(30)
            return "done"

    tools = HostedTools([Stuck()], HostedLimits(seconds=0.2))
    running = [tools.start(Stuck(), HostedCall(text="")) for _ in range(9)]
    texts = [each.wait().text for each in running]
    release.set()
    assert sum("did not answer" in text for text in texts) == 8
    assert sum("did not begin within 0.2 s, since 8 other calls run" in text for text in texts) == 1


def test_the_threads_of_calls_do_not_keep_the_process():
    release = threading.Event()

    class Waiting(HostedTool):
        name = "python"

        def run(self, call):
            release.wait(30)
            return threading.current_thread().daemon

    running = HostedTools([Waiting()]).start(Waiting(), HostedCall(text=""))
    release.set()
    assert running.wait().text == "True"
