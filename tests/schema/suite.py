"""The official JSON Schema Test Suite, as the source distribution of PyPI's jsonschema has it."""
import os
import pathlib

from probe import read

FOLDER = pathlib.Path(os.environ.get("SCHEMA_SUITE", "/nonexistent"))
DRAFT7 = "http://json-schema.org/draft-07/schema#"

# Keywords of issue 16, item 2: a group that has no others must be followed.
FOLLOWED = set("""
    type format title description nullable enum items minItems maxItems properties required
    propertyOrdering minProperties maxProperties minimum maximum minLength maxLength pattern example
    anyOf default const prefixItems additionalProperties patternProperties oneOf allOf not
    exclusiveMinimum exclusiveMaximum multipleOf uniqueItems $defs $ref definitions additionalItems
    $schema $comment""".split())
OF_SCHEMAS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas",
              "dependencies")
OF_VALUES = ("enum", "const", "default", "example", "examples", "required", "dependentRequired")


def keywords(schema):
    """All keywords of a schema and those within."""
    found = set()
    if isinstance(schema, dict):
        for key, value in schema.items():
            found.add(key)
            if key in OF_SCHEMAS and isinstance(value, dict):
                for inner in value.values():
                    found |= keywords(inner)
            elif key not in OF_VALUES:
                found |= keywords(value)
    elif isinstance(schema, list):
        for inner in schema:
            found |= keywords(inner)
    return found


class Group:
    """A schema of the suite with its instances."""

    def __init__(self, draft, file, group):
        self.name = f"{draft}/{file.stem}: {group['description']}"
        self.draft, self.written = draft, group["schema"]
        self.tests = group["tests"]
        self.schema = self.written
        if draft == "draft7" and isinstance(self.written, dict) and "$schema" not in self.written:
            self.schema = {"$schema": DRAFT7, **self.written}

    @property
    def keywords(self):
        return keywords(self.written)


def groups():
    for draft in ("draft2020-12", "draft7"):
        for file in sorted((FOLDER / draft).glob("*.json")):
            for group in read(file.read_text(encoding="utf-8")):
                yield Group(draft, file, group)
