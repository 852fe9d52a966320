# SPDX-License-Identifier: Apache-2.0
"""swagger.yaml says what consoled serves: no route without a description, no description without a route."""

import re
import subprocess

import pytest
import yaml

from consoled import CONSOLED, ROOT

METHODS = {"get", "put", "post", "patch", "delete"}


@pytest.fixture(scope="module")
def document():
    return yaml.safe_load((ROOT / "swagger.yaml").read_text())


@pytest.fixture(scope="module")
def routes():
    done = subprocess.run([CONSOLED, "--routes"], capture_output=True, text=True, timeout=20, check=True)
    found = [tuple(line.split(" ")) for line in done.stdout.splitlines()]
    assert found and all(len(route) == 2 for route in found)
    return found


def test_routes_are_unique(routes):
    """Design: a const table of routes."""
    assert len(set(routes)) == len(routes)


def test_swagger_and_routes_agree(document, routes):
    """Design: swagger.yaml against `consoled --routes`, both ways. /1.0/containers and /1.0/virtual-machines are
    aliases of /1.0/instances and described with it."""

    def canonical(path):
        return re.sub(r"^/1\.0/(containers|virtual-machines)\b", "/1.0/instances", re.sub(r"\{[^}]*\}", "{}", path))

    served = {(method, canonical(path)) for method, path in routes}
    described = {
        (method.upper(), canonical(path))
        for path, operations in document["paths"].items()
        for method in operations
        if method in METHODS
    }
    assert served - described == set(), "served and not described"
    assert described - served == set(), "described and not served"


def resolve(document, node):
    """The node itself, or what its $ref points at."""
    if "$ref" not in node:
        return node
    reference, target = node["$ref"], document
    assert reference.startswith("#/"), reference
    for part in reference[2:].split("/"):
        assert part in target, reference
        target = target[part]
    return target


def test_every_operation_is_described(document):
    """Design: a summary and at least one response each; path parameters are declared."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if method not in METHODS:
                continue
            where = f"{method.upper()} {path}"
            assert operation.get("summary"), where
            assert operation.get("responses"), where
            listed = [*operations.get("parameters", []), *operation.get("parameters", [])]
            parameters = [resolve(document, each) for each in listed]
            declared = {parameter["name"] for parameter in parameters if parameter["in"] == "path"}
            assert declared == set(re.findall(r"\{([^}]+)\}", path)), where


def test_operation_ids_are_unique(document):
    """Swagger 2.0: operationId, where given, is unique."""
    ids = [
        operation["operationId"]
        for operations in document["paths"].values()
        for method, operation in operations.items()
        if method in METHODS and "operationId" in operation
    ]
    assert len(set(ids)) == len(ids)


def test_references_resolve(document):
    """Swagger 2.0: every $ref points at something."""

    def references(node):
        if isinstance(node, dict):
            if "$ref" in node:
                yield node["$ref"]
            for value in node.values():
                yield from references(value)
        elif isinstance(node, list):
            for value in node:
                yield from references(value)

    for reference in references(document):
        resolve(document, {"$ref": reference})
