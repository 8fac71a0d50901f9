"""The reader, on folders small enough to check by eye."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from fleet import movielens
from fleet.movielens import DatasetError
from tests.fleet.patterns import direction, viewing

MOVIES = """movieId,title,genres
10,"American President, The (1995)",Comedy|Drama
20,Heat (1995),Action
30,Unnamed (1999),(no genres listed)
"""
RATINGS = """userId,movieId,rating,timestamp
2,10,3.5,300
1,30,5.0,200
1,20,4.0,100
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "movies.csv").write_text(MOVIES)
    (tmp_path / "ratings.csv").write_text(RATINGS)
    rows = np.stack([direction(i) for i in range(3)])
    np.save(tmp_path / "embeddings.npy", rows.astype(np.float16))
    return tmp_path


def test_users_are_read_in_time_order(folder):
    one, two = movielens.read(folder).users

    assert (one.user_id, two.user_id) == (1, 2)
    assert [v.content_id for v in one.viewings] == ["ml-20", "ml-30"]


def test_rating_becomes_a_viewing(folder):
    _, two = movielens.read(folder).users

    [viewing] = two.viewings
    assert viewing.content_id == "ml-10"
    assert not viewing.is_liked
    assert viewing.watched_at == datetime(1970, 1, 1, 0, 5, tzinfo=UTC)
    assert viewing.genres == ("comedy", "drama")
    assert (viewing.embedding == direction(0)).all()


@pytest.mark.parametrize(
    ("stars", "is_liked", "enjoyment"),
    [(3.5, False, 0.5), (4.0, True, 1), (5, True, 2)],
)
def test_four_stars_are_a_like_and_five_twice_as_much(
    folder, stars, is_liked, enjoyment
):
    (folder / "ratings.csv").write_text(
        f"userId,movieId,rating,timestamp\n1,10,{stars},100\n"
    )

    [[viewing]] = [user.viewings for user in movielens.read(folder).users]

    assert (viewing.is_liked, viewing.enjoyment) == (is_liked, enjoyment)


def test_film_without_genres_has_none(folder):
    one, _ = movielens.read(folder).users

    assert one.viewings[1].genres == ()


def test_catalogue_holds_every_film_in_the_order_of_its_file(folder):
    catalogue = movielens.read(folder).catalogue

    assert catalogue.content_ids == ["ml-10", "ml-20", "ml-30"]
    assert catalogue.row("ml-20") == 1


def test_embeddings_are_brought_to_unit_length(folder):
    rows = np.stack([(i + 2) * direction(i) for i in range(3)])
    np.save(folder / "embeddings.npy", rows)

    lengths = np.linalg.norm(movielens.read(folder).catalogue.embeddings, axis=1)

    assert np.allclose(lengths, 1)


@pytest.mark.parametrize("name", ["movies.csv", "ratings.csv", "embeddings.npy"])
def test_missing_file_is_named(folder, name):
    (folder / name).unlink()

    with pytest.raises(DatasetError, match=f"{name} is missing"):
        movielens.read(folder)


def test_missing_column_is_named(folder):
    (folder / "ratings.csv").write_text("userId,movieId,rating\n1,10,4\n")

    with pytest.raises(DatasetError, match="lacks the columns timestamp"):
        movielens.read(folder)


def test_embeddings_of_other_films_are_refused(folder):
    np.save(folder / "embeddings.npy", np.ones((2, 384)))

    with pytest.raises(DatasetError, match=r"shape \(2, 384\).*asks for \(3, 384\)"):
        movielens.read(folder)


def test_embedding_without_a_direction_is_refused(folder):
    np.save(folder / "embeddings.npy", np.zeros((3, 384)))

    with pytest.raises(DatasetError, match="without a direction"):
        movielens.read(folder)


def test_rating_of_an_unknown_film_is_refused(folder):
    (folder / "ratings.csv").write_text("userId,movieId,rating,timestamp\n1,99,4,100\n")

    with pytest.raises(DatasetError, match="rates film 99"):
        movielens.read(folder)


def past(count):
    return [viewing(f"c{i}", direction(i), is_liked=i % 2 == 0) for i in range(count)]


def test_first_four_fifths_are_learned():
    split = movielens.split(past(20), user_id=1)

    assert [v.content_id for v in split.learned] == [f"c{i}" for i in range(16)]
    assert split.held_out_liked == {"c16", "c18"}


@pytest.mark.parametrize(
    ("count", "is_scored"),
    [
        (30, True),  # 24 learned, 6 held out, of which 3 liked
        (29, True),  # 23 learned, 6 held out, of which 3 liked
        (24, False),  # 19 learned, 5 held out, of which 2 liked
    ],
)
def test_who_kept_back_too_few_likes_is_not_scored(count, is_scored):
    assert movielens.split(past(count), user_id=1).is_scored == is_scored


def test_who_learned_too_little_is_not_scored():
    """14 learned, 4 held out and all of them liked."""
    viewings = [viewing(f"c{i}", direction(i)) for i in range(18)]

    split = movielens.split(viewings, user_id=1)

    assert (len(split.learned), len(split.held_out_liked)) == (14, 4)
    assert not split.is_scored


def test_rehearsal_never_sees_what_the_performance_holds_out(folder):
    lines = [f"1,{10 * (1 + i % 3)},4,{i}" for i in range(50)]
    header = "userId,movieId,rating,timestamp"
    (folder / "ratings.csv").write_text("\n".join([header, *lines]))
    dataset = movielens.read(folder)

    [performance] = movielens.splits(dataset)
    [rehearsal] = movielens.splits(dataset, is_rehearsal=True)

    assert rehearsal.learned == performance.learned[:32]
