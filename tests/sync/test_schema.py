"""The description of the API: committed, complete, served, and true.

That it is true is for the most part held by every other test here: see contract.py.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings
from django.core.management import CommandError, call_command

from constellation_site import drain
from sync import urls
from sync.schema import document
from tests.sync import contract
from tests.sync.television import addition, update

pytestmark = pytest.mark.django_db(databases="__all__")

COMMITTED = Path(settings.BASE_DIR) / "docs" / "openapi.yaml"
SCHEMA = "/api/v1/schema"
DOCS = "/api/v1/docs"

#: Names of functions in clients that were generated: they stay.
OPERATION_IDS = {
    "enrol",
    "forget",
    "sync",
    "list_content",
    "write_content",
    "info",
    "current_publication",
    "bundle",
    "trends_bundle",
    "codebook",
    "catalogue_page",
    "schema",
    "list_statistics",
    "list_shards",
    "health",
    "live",
    "ready",
    "health_in_detail",
}


def generate() -> str:
    """What ``make openapi`` writes; raises if there is anything to warn of."""
    out = io.StringIO()
    call_command("spectacular", fail_on_warn=True, validate=True, stdout=out)
    return out.getvalue()


def walk(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema within a schema, with where it stands."""
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from walk(inner, f"{path}.{name}")
    for keyword in ("anyOf", "allOf", "prefixItems"):
        for i, inner in enumerate(schema.get(keyword, [])):
            yield from walk(inner, f"{path}<{i}>")
    if isinstance(schema.get("items"), dict):
        yield from walk(schema["items"], f"{path}[]")


def component_schemas(openapi: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        found
        for name, schema in openapi["components"]["schemas"].items()
        for found in walk(schema, name)
    ]


# Committed


def test_committed_document_is_what_the_code_says():
    """If not: ``make openapi``, and read the difference before committing it."""
    assert generate() == COMMITTED.read_text()


def test_address_nobody_described_is_a_warning(monkeypatch, capsys):
    monkeypatch.setattr(document, "described", dict)

    with pytest.raises(CommandError, match="due to warnings"):
        generate()

    assert "unable to guess serializer" in capsys.readouterr().err


# Complete


def test_every_address_is_described(openapi):
    addresses = {f"/api/v1/{pattern.pattern}" for pattern in urls.urlpatterns}

    told = {
        re.sub(r"\{(\w+)\}", r"<str:\1>", path.replace("{id}", "{pk}"))
        for path in openapi["paths"]
    }
    assert addresses - {DOCS} <= told
    assert told - addresses == {
        "/health",
        "/health/live",
        "/health/ready",
        "/health/detailed",
    }


def test_names_of_operations_stay(openapi):
    ids = [each["operationId"] for each in document.operations_of(openapi)]

    assert sorted(ids) == sorted(OPERATION_IDS)


def test_every_tag_is_explained(openapi):
    used = {tag for each in document.operations_of(openapi) for tag in each["tags"]}

    assert used == {tag["name"] for tag in openapi["tags"]}


def test_every_field_is_explained_with_an_example(openapi):
    mute = [
        path
        for path, schema in component_schemas(openapi)
        if schema.get("type") in ("string", "integer", "number", "boolean")
        and not (schema.get("description") and schema.get("examples"))
        # Each of the 384 numbers; the embedding has both.
        and path != "Embedding[]"
    ]

    assert mute == []


def test_every_reference_leads_somewhere(openapi):
    references = re.findall(r"#/components/(\w+)/(\w+)", str(openapi))

    assert [r for r in references if r[1] not in openapi["components"][r[0]]] == []
    assert {r[1] for r in references} >= set(openapi["components"]["schemas"])


def test_every_code_is_in_the_table_of_errors(openapi):
    table = (COMMITTED.parent / "errors.md").read_text()
    codes = openapi["components"]["schemas"]["Problem"]["properties"]["code"]["enum"]

    assert [code for code in codes if f"| `{code}` |" not in table] == []


# True


def test_examples_are_valid(openapi):
    wrong = [
        (path, problems)
        for path, schema in component_schemas(openapi)
        for example in schema.get("examples", [])
        if (problems := contract.problems_with(schema, example, is_closed=True))
    ]

    assert wrong == []


def test_examples_of_problems_are_valid(openapi):
    shared = openapi["components"]["examples"]
    wrong = [
        (operation["operationId"], code, problems)
        for operation in document.operations_of(openapi)
        for status, response in operation["responses"].items()
        if int(status) >= 400
        for told in [response["content"]["application/problem+json"]]
        for code, example in told["examples"].items()
        for value in [example.get("value") or shared[code]["value"]]
        if (problems := contract.problems_with(told["schema"], value, is_closed=True))
    ]

    assert wrong == []


def test_a_reply_that_says_more_is_noticed(openapi):
    shard = {
        name: schema["examples"][0]
        for name, schema in openapi["components"]["schemas"]["Shard"][
            "properties"
        ].items()
    }
    reply = {"$ref": "#/components/schemas/Shard"}

    assert not contract.problems_with(reply, shard, is_closed=True)
    assert "'secret'" in contract.problems_with(
        reply, shard | {"secret": 1}, is_closed=True
    )
    assert "'name'" in contract.problems_with(
        reply, {k: v for k, v in shard.items() if k != "name"}, is_closed=True
    )


@pytest.mark.parametrize(
    ("schema", "name"),
    [
        ("PatternAddition", "success_rate"),
        ("PatternAddition", "sample_count"),
        ("PatternAddition", "created_at"),
        ("PatternAddition", "updated_at"),
        ("PatternUpdate", "new_success_rate"),
        ("PatternUpdate", "additional_samples"),
    ],
)
def test_ranges_are_those_that_are_enforced(openapi, vega_tv, schema, name):
    described = openapi["components"]["schemas"][schema]["properties"][name]
    lowest, highest = described["minimum"], described["maximum"]

    def answer(value: float) -> tuple[int, str | None]:
        entry = addition() if schema == "PatternAddition" else update(addition()["id"])
        lists = {"PatternAddition": "added", "PatternUpdate": "updated"}
        vega_tv.local_version += 1
        body = vega_tv.body(**{lists[schema]: [entry | {name: value}]})
        response = vega_tv.post(body)
        return response.status_code, response.json().get("field", "").split(".")[-1]

    assert answer(lowest)[0] == answer(highest)[0] == 200
    assert answer(lowest - 1) == answer(highest + 1) == (422, name)


def test_lists_are_as_long_as_described(openapi, vega_tv):
    schemas = openapi["components"]["schemas"]
    context = schemas["Context"]["properties"]

    for name in ("genre_hints", "content_ids"):
        most, longest = context[name]["maxItems"], context[name]["items"]["maxLength"]
        full = [f"{i}".rjust(longest, "x") for i in range(most)]
        vega_tv.sync(added=[addition(context={name: full})])
        for too_much in ([*full, "x"], ["x" * (longest + 1)]):
            body = vega_tv.body(added=[addition(context={name: too_much})])
            assert vega_tv.post(body).status_code == 422


def test_what_is_optional_may_be_null(openapi, vega_tv):
    """The watcher holds each of these requests against the document."""
    schemas = openapi["components"]["schemas"]

    def nothing(name: str) -> dict[str, None]:
        schema = schemas[name]
        return dict.fromkeys(set(schema["properties"]) - {*schema.get("required", [])})

    pattern = addition(context=nothing("Context"))
    vega_tv.sync(added=[pattern])
    vega_tv.sync(added=[pattern | nothing("PatternAddition")])
    body = vega_tv.body() | nothing("SyncRequest")
    body["delta"] |= nothing("Delta")

    assert vega_tv.post(body).status_code == 200


@pytest.mark.parametrize("path", ["/health", "/health/live", "/health/ready"])
@pytest.mark.parametrize("is_draining", [False, True])
def test_probes_answer_as_described(client, vega, monkeypatch, path, is_draining):
    monkeypatch.setattr(drain, "is_draining", lambda: is_draining)

    response = client.get(path)

    operation = contract.operation_at(path, "GET")
    assert operation is not None
    contract.check_reply(operation, "GET", response)


def test_detailed_probe_answers_as_described(client, vega, deneb):
    response = client.get("/health/detailed")

    operation = contract.operation_at("/health/detailed", "GET")
    assert operation is not None
    assert response.status_code == 503
    contract.check_reply(operation, "GET", response)


# Served


def test_document_is_json_by_default(client, openapi):
    response = client.get(SCHEMA)

    assert response["Content-Type"] == "application/json"
    assert response.json() == openapi
    assert response.json()["openapi"].startswith("3.1")


@pytest.mark.parametrize(
    ("query", "accept", "media_type"),
    [
        ("?format=yaml", "*/*", "application/yaml"),
        ("?format=json", "*/*", "application/json"),
        ("", "application/yaml", "application/yaml"),
        ("", "application/json", "application/json"),
        ("", "application/vnd.oai.openapi", "application/vnd.oai.openapi"),
        ("", "application/vnd.oai.openapi+json", "application/vnd.oai.openapi+json"),
    ],
)
def test_document_is_json_or_yaml(client, openapi, query, accept, media_type):
    response = client.get(SCHEMA + query, headers={"accept": accept})

    assert response["Content-Type"] == media_type
    assert yaml.safe_load(response.content) == openapi


def test_yaml_is_the_committed_document(client):
    assert client.get(f"{SCHEMA}?format=yaml").content == COMMITTED.read_bytes()


def test_document_is_sent_once(client):
    etag = client.get(SCHEMA)["ETag"]

    assert client.get(SCHEMA, headers={"if-none-match": etag}).status_code == 304


@pytest.mark.parametrize(
    ("method", "address", "accept", "status", "code"),
    [
        ("get", SCHEMA, "text/html", 406, "not_acceptable"),
        ("get", SCHEMA + "?format=xml", "*/*", 422, "invalid_request"),
        ("post", SCHEMA, "*/*", 405, "method_not_allowed"),
        ("get", DOCS, "application/json", 406, "not_acceptable"),
        ("post", DOCS, "text/html", 405, "method_not_allowed"),
        ("get", DOCS + "/", "text/html", 404, "not_found"),
    ],
)
def test_refusals_are_problems(client, method, address, accept, status, code):
    response = getattr(client, method)(address, headers={"accept": accept})

    assert response["Content-Type"] == "application/problem+json"
    assert (response.status_code, response.json()["code"]) == (status, code)


def test_refusal_lists_the_formats_of_the_address(client):
    problem = client.get(SCHEMA, headers={"accept": "text/html"}).json()

    assert "application/yaml" in problem["available"]
    assert "application/json" in problem["available"]


def test_page_loads_nothing_from_elsewhere(client):
    response = client.get(DOCS, headers={"accept": "text/html,*/*;q=0.8"})
    page = response.content.decode()

    loaded = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert response.status_code == 200
    assert re.findall(r"https?://", page) == []
    assert len(loaded) == 4
    for address in loaded:
        served = client.get(address)
        assert (served.status_code, served.getvalue() != b"") == (200, True), address
    assert f'"{SCHEMA}"' in page


def test_page_needs_no_database(client, django_assert_num_queries):
    with django_assert_num_queries(0):
        client.get(DOCS)
        client.get(SCHEMA)
