"""The catalogue: operators write it, TVs read it page by page."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from patterns.models import Content, Item
from patterns.services import items
from patterns.vectors import as_array
from shards.services import operators
from shards.services.operators import Role
from tests.sync.television import embedding

pytestmark = pytest.mark.django_db(databases=["default", "shard_000"])

CONTENT = "/api/v1/content"


def item(content_id: str = "tt0133093", **parts) -> dict[str, Any]:
    return {
        "content_id": content_id,
        "title": "The Matrix",
        "embedding": embedding(1),
        "metadata": {
            "genre": ["action", "science fiction"],
            "year": 1999,
            "duration_min": 136,
        },
    } | parts


@pytest.fixture
def as_role(db):
    """A client with the API token of an operator of some role."""

    def make(role: Role):
        made = operators.create_operator(username=role.value, role=role)
        return Client(headers={"authorization": f"Token {made.token}"})

    return make


@pytest.fixture
def operator(as_role):
    return as_role(Role.OPERATOR)


def post(client: Client, body):
    return client.post(CONTENT, body, content_type="application/json")


def test_item_is_added(operator):
    response = post(operator, item())

    assert response.status_code == 201
    content = Content.objects.get()
    assert response.json() == {
        "ordinal": content.ordinal,
        "content_id": "tt0133093",
        "title": "The Matrix",
        "metadata": {
            "genre": ["action", "science fiction"],
            "year": 1999,
            "duration_min": 136,
        },
    }
    assert as_array(content.embedding) == pytest.approx(embedding(1), abs=1e-3)


def test_list_is_added(operator):
    response = post(operator, [item("tt1"), item("tt2")])

    assert response.status_code == 201
    assert [c["content_id"] for c in response.json()["content"]] == ["tt1", "tt2"]


def test_empty_list_adds_nothing(operator):
    assert post(operator, []).status_code == 201
    assert Content.objects.count() == 0


def test_known_item_is_replaced_and_keeps_its_ordinal(operator):
    first = post(operator, item()).json()

    second = post(operator, [item("tt1"), item(title="Matrix", metadata={})]).json()

    replaced = Content.objects.get(content_id="tt0133093")
    assert replaced.ordinal == first["ordinal"]
    assert (replaced.title, replaced.genres, replaced.year) == ("Matrix", [], None)
    assert second["content"][1]["ordinal"] == first["ordinal"]


def test_genre_may_be_one_word(operator):
    post(operator, item(metadata={"genre": "drama"}))

    assert Content.objects.get().genres == ["drama"]


def test_metadata_may_be_left_out(operator):
    without = item()
    del without["metadata"]

    assert post(operator, without).status_code == 201


@pytest.mark.parametrize(
    ("role", "status"),
    [(Role.VIEWER, 403), (Role.OPERATOR, 201), (Role.ADMINISTRATOR, 201)],
)
def test_roles_that_may_write(as_role, role, status):
    assert post(as_role(role), item()).status_code == status


def test_tv_may_read_and_not_write(vega_tv):
    headers = {"authorization": vega_tv.authorization}

    written = vega_tv.client.post(
        CONTENT, item(), content_type="application/json", headers=headers
    )

    assert vega_tv.client.get(CONTENT, headers=headers).status_code == 200
    assert written.status_code == 403
    assert written.json()["code"] == "permission_denied"


def test_strangers_may_neither(client):
    assert client.get(CONTENT).status_code == 401
    assert post(client, item()).status_code == 401


@pytest.mark.parametrize(
    ("parts", "field"),
    [
        ({"content_id": ""}, "content_id"),
        ({"content_id": "x" * 65}, "content_id"),
        ({"content_id": 7}, "content_id"),
        ({"content_id": "genre:crime"}, "content_id"),
        ({"title": None}, "title"),
        ({"title": "x" * 256}, "title"),
        ({"title": "a\0b"}, "title"),
        ({"embedding": [0.1]}, "embedding"),
        ({"embedding": [0] * 384}, "embedding"),
        ({"metadata": []}, "metadata"),
        ({"metadata": {"genre": 3}}, "metadata.genre"),
        ({"metadata": {"genre": ["x"] * 9}}, "metadata.genre"),
        ({"metadata": {"genre": ["x" * 33]}}, "metadata.genre[0]"),
        ({"metadata": {"year": "1999"}}, "metadata.year"),
        ({"metadata": {"year": 0}}, "metadata.year"),
        ({"metadata": {"duration_min": 10_001}}, "metadata.duration_min"),
    ],
)
def test_item_is_refused(operator, parts, field):
    alone = post(operator, item(**parts))
    in_a_list = post(operator, [item("tt1"), item(**parts)])

    assert (alone.status_code, alone.json()["field"]) == (422, field)
    assert (in_a_list.status_code, in_a_list.json()["field"]) == (422, f"[1].{field}")
    assert Content.objects.count() == 0


def test_content_named_twice_is_refused(operator):
    response = post(operator, [item("tt1"), item("tt1")])

    assert response.json()["field"] == "[1].content_id"


@pytest.mark.parametrize("body", [3, "tt1", None, [None], [[]]])
def test_body_of_the_wrong_kind_is_refused(operator, body):
    response = post(operator, body)

    assert response.status_code in (400, 422)


def test_list_has_a_limit(operator):
    short = [item(f"tt{i}", embedding=[1] + [0] * 383) for i in range(101)]

    assert post(operator, short[:100]).status_code == 201
    response = post(operator, short)

    assert response.status_code == 422
    assert response.json()["limit"] == 100


def test_catalogue_is_read_in_the_order_it_grew(operator):
    post(operator, [item(f"tt{i}") for i in range(5)])
    post(operator, item("tt0", title="changed"))
    seen, after = [], 0

    while after is not None:
        page = operator.get(CONTENT, {"after": after, "limit": 2}).json()
        seen += page["content"]
        after = page["next_after"]

    assert [c["content_id"] for c in seen] == [f"tt{i}" for i in range(5)]
    assert [c["ordinal"] for c in seen] == sorted(c["ordinal"] for c in seen)
    assert seen[0]["embedding"] == pytest.approx(embedding(1), abs=1e-3)


def test_an_ordinal_is_that_of_the_item(operator):
    known = items.register(["genre:crime", "tt2"])

    posted = post(operator, [item("tt1"), item("tt2")]).json()["content"]

    ordinals = {item.name: item.ordinal for item in Item.objects.all()}
    assert ordinals.items() > known.items()
    assert {c["content_id"]: c["ordinal"] for c in posted} == {
        "tt1": ordinals["tt1"],
        "tt2": ordinals["tt2"],
    }


def test_content_that_tvs_named_first_is_not_missed(operator):
    """Its ordinal is lower than one that has been read already."""
    items.register(["tt-named-by-tvs"])
    post(operator, item("tt1"))
    read = operator.get(CONTENT, {"limit": 1}).json()
    post(operator, [item("tt-named-by-tvs"), item("tt2")])

    page = operator.get(CONTENT, {"after": read["next_after"]}).json()["content"]

    assert {c["content_id"] for c in page} == {"tt-named-by-tvs", "tt2"}
    assert page[-1]["ordinal"] < read["content"][0]["ordinal"]


def test_content_that_was_deleted_comes_back_with_its_ordinal(operator):
    first = post(operator, [item("tt1"), item("tt2")]).json()["content"]
    Content.objects.all().delete()

    again = post(operator, [item("tt3"), item("tt2")]).json()["content"]
    page = operator.get(CONTENT, {"after": first[-1]["ordinal"]}).json()["content"]

    assert again[1]["ordinal"] == first[1]["ordinal"]
    assert again[0]["ordinal"] > first[1]["ordinal"]
    assert {c["content_id"] for c in page} == {"tt2", "tt3"}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"after": "-1"}, "after"),
        ({"after": "x"}, "after"),
        ({"after": "9" * 4000}, "after"),
        ({"after": "1.5"}, "after"),
        ({"after": ""}, "after"),
        ({"limit": "0"}, "limit"),
        ({"limit": "501"}, "limit"),
    ],
)
def test_query_is_refused(operator, query, field):
    response = operator.get(CONTENT, query)

    assert response.status_code == 422
    assert response.json()["field"] == field


def test_page_is_cacheable_and_known_by_its_etag(operator):
    post(operator, item())
    first = operator.get(CONTENT)

    second = operator.get(CONTENT, headers={"if-none-match": first["ETag"]})
    post(operator, item(title="changed"))
    third = operator.get(CONTENT, headers={"if-none-match": first["ETag"]})

    assert "max-age=300" in first["Cache-Control"]
    assert "public" in first["Cache-Control"]
    assert (second.status_code, second.content) == (304, b"")
    assert third.status_code == 200
