import pytest
from concordance_inference.server.inspector.inspector_page import _FILES
from concordance_inference.traces.bundle import bundled
from concordance_inference.traces.trace_page import _parts

MODULES = {
    "main.js": 'import { one as a, two } from "./one.js";\nimport "./effect.js";\ntwo(a);\n',
    "one.js": 'import "./effect.js";\nexport const one = 1;\nexport function two(x) { f(x); }\n',
    "effect.js": "console.log(1);\n",
}


def test_modules_become_one_script_with_each_module_once_after_those_it_imports():
    text = bundled("main.js", MODULES.__getitem__)

    assert text.count("console.log(1)") == 1
    assert text.index('modules["effect.js"]') < text.index('modules["one.js"] = ')
    assert 'const { one: a, two } = modules["one.js"];' in text
    assert "return { one, two };" in text
    assert "import " not in text


@pytest.mark.parametrize(
    "text",
    ['import x from "./one.js";\n', 'export * from "./one.js";\n', "const end = '</script>';\n"],
)
def test_a_module_in_another_form_is_an_error_that_names_it(text):
    with pytest.raises(ValueError, match=r"main\.js: a file cannot have this line"):
        bundled("main.js", {**MODULES, "main.js": text}.__getitem__)


def test_modules_in_a_circle_are_an_error():
    circle = {"a.js": 'import "./b.js";\n', "b.js": 'import "./a.js";\n'}

    with pytest.raises(ValueError, match=r"circle: a\.js -> b\.js -> a\.js"):
        bundled("a.js", circle.__getitem__)


def test_the_page_of_a_trace_has_the_modules_that_show_and_none_that_sends():
    script, _ = _parts()

    assert 'modules["token_list.js"]' in script
    assert 'modules["run_comparison.js"]' in script
    assert "fetch(" not in script
    assert {"trace_page.js", "alignment.js"} <= _FILES.parts
