"""The catalogue in the console."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from shards.services.operators import Role
from tests.console import add_content, logged_in

pytestmark = pytest.mark.django_db

CONTENT = "/admin/patterns/content/"


@pytest.fixture
def operator(client: Client) -> Client:
    return logged_in(client, Role.OPERATOR)


@pytest.fixture
def matrix():
    return add_content("tt0133093", "The Matrx", genres=["action"], year=1999)


def test_content_is_found_by_the_beginning_of_its_id(operator, matrix):
    add_content("tt0078748", "Alien")

    answer = operator.get(CONTENT, {"q": "tt0133"})

    assert [row.title for row in answer.context["cl"].result_list] == ["The Matrx"]


def test_search_can_use_the_index_for_prefixes(operator, matrix):
    with CaptureQueriesContext(connection) as queries:
        operator.get(CONTENT, {"q": "tt0133"})

    searches = [q["sql"] for q in queries if "tt0133" in q["sql"]]
    assert searches
    assert all("UPPER" not in sql and "LIKE 'tt0133%'" in sql for sql in searches)


def test_list_reads_no_embedding(operator, matrix):
    with CaptureQueriesContext(connection) as queries:
        operator.get(CONTENT)

    assert not any("embedding" in query["sql"] for query in queries)


def test_list_counts_no_further_than_its_limit(operator, matrix):
    with CaptureQueriesContext(connection) as queries:
        operator.get(CONTENT)

    counts = [q["sql"] for q in queries if "COUNT(" in q["sql"]]
    assert len(counts) == 1
    assert "LIMIT 10000" in counts[0]


def test_page_shows_the_embedding_as_its_size(operator, matrix):
    page = operator.get(f"{CONTENT}{matrix.pk}/change/").content.decode()

    assert "384 numbers" in page


def test_operator_corrects_title_genres_and_year(operator, matrix):
    operator.post(
        f"{CONTENT}{matrix.pk}/change/",
        {"title": "The Matrix", "genres": "action, sci-fi", "year": "1998"},
    )

    matrix.refresh_from_db()
    assert matrix.title == "The Matrix"
    assert matrix.genres == ["action", "sci-fi"]
    assert matrix.year == 1998
    assert matrix.content_id == "tt0133093"


def test_viewer_corrects_nothing(client, matrix):
    viewer = logged_in(client, Role.VIEWER)

    answer = viewer.post(f"{CONTENT}{matrix.pk}/change/", {"title": "Mine"})

    matrix.refresh_from_db()
    assert answer.status_code == 403
    assert matrix.title == "The Matrx"


@pytest.mark.parametrize("page", ["add/", "{pk}/delete/"])
def test_content_comes_and_goes_with_the_catalogue(client, matrix, page):
    administrator = logged_in(client, Role.ADMINISTRATOR)

    answer = administrator.get(CONTENT + page.format(pk=matrix.pk))

    assert answer.status_code == 403
