import pytest
from concordance_inference.harmony.tool_schema import MAX_SUBSCHEMAS, mapped_texts, normalized


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"anyOf": [{"type": "string"}, {"type": "number"}]},
         {"oneOf": [{"type": "string"}, {"type": "number"}]}),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, {"type": "string", "nullable": True}),
        ({"anyOf": [{"type": "string"}, {"type": "number"}, {"type": "null"}]},
         {"oneOf": [{"type": "string"}, {"type": "number"}, {"type": ["null"]}]}),
        ({"const": "a"}, {"enum": ["a"], "type": "string"}),
        ({"enum": ['say "a"', "b"]}, {"enum": ['say \\"a\\"', "b"], "type": "string"}),
        ({"enum": ["a", None]}, {"enum": ["a"], "nullable": True, "type": "string"}),
        ({"enum": [1, 2]}, {"type": "integer", "description": "(one of 1, 2)"}),
        ({"const": 3, "description": "Fixed."},
         {"type": "integer", "description": "Fixed. (one of 3)"}),
        ({"type": "integer", "minimum": 1, "maximum": 9},
         {"type": "integer", "description": "(minimum: 1) (maximum: 9)"}),
        ({"allOf": [{"type": "string"}], "description": "x"},
         {"type": "string", "description": "x"}),
        ({"properties": {"a b": {"type": "string"}}, "required": ["a b"]},
         {"type": "object", "properties": {'"a b"': {"type": "string"}}, "required": ['"a b"']}),
        ({"type": "string", "description": "one\ntwo"},
         {"type": "string", "description": "one\n// two"}),
        ({"type": "string", "description": ""}, {"type": "string"}),
        ({"items": {"const": "a"}}, {"type": "array", "items": {"enum": ["a"], "type": "string"}}),
    ],
)  # fmt: skip
def test_schemas_are_normalized_to_what_the_library_renders(given, expected):
    assert normalized(given) == expected


def test_references_are_put_in_place():
    word = {"type": "object", "properties": {"text": {"$ref": "#/$defs/text"}}}
    schema = {"$ref": "#/$defs/word", "$defs": {"word": word, "text": {"type": "string"}}}
    assert normalized(schema) == {
        "type": "object", "properties": {"text": {"type": "string"}}, "required": []
    }  # fmt: skip


def test_objects_of_all_of_are_merged():
    base = {"properties": {"a": {"type": "string"}}, "required": ["a"]}
    schema = {"allOf": [base], "properties": {"b": {"type": "number"}}, "required": ["b"]}
    found = normalized(schema)
    assert found["properties"] == {"a": {"type": "string"}, "b": {"type": "number"}}
    assert found["required"] == ["a", "b"]


def test_a_reference_to_itself_ends():
    tree = {"type": "object", "properties": {"left": {"$ref": "#"}}}
    assert normalized(tree)["properties"]["left"]["properties"]["left"] == {}


def test_references_that_multiply_are_bounded():
    defs = {
        f"d{i}": {"properties": {str(j): {"$ref": f"#/$defs/d{i + 1}"} for j in range(10)}}
        for i in range(30)
    }
    found = normalized({"$ref": "#/$defs/d0", "$defs": defs})
    assert str(found).count("object") <= MAX_SUBSCHEMAS


def test_all_of_that_multiplies_is_bounded():
    defs = {f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(60)}
    assert normalized({"$ref": "#/$defs/d0", "$defs": defs}) == {}


@pytest.mark.parametrize(
    "schema",
    [{"properties": 3}, {"$ref": "#/nowhere"}, {"$ref": 3}, {"oneOf": "x"}, {"allOf": 3},
     {"enum": 3}, {"required": 3, "properties": {}}, {"items": [1]}, {"anyOf": []}, {"allOf": [3]},
     {"type": 3}, {"description": 3}, {"enum": [[1], {}]}, {"$ref": "http://example.org"}],
)  # fmt: skip
def test_schemas_that_make_no_sense_raise_nothing(schema):
    normalized(schema)
    normalized({"type": "object", "properties": {"a": schema}})


def test_texts_and_names_of_properties_are_mapped():
    schema = {"properties": {"a": {"description": "b", "default": {"c": "d"}}}, "required": ["a"]}
    seen = []
    assert mapped_texts(schema, lambda key, text: seen.append((key, text)) or text) == schema
    assert {*seen} == {
        ("properties", "a"), ("description", "b"), ("default", "c"), ("default", "d"),
        ("required", "a"),
    }  # fmt: skip
