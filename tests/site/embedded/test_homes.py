"""How many shards a home has."""

from __future__ import annotations

import pytest

from constellation_site import embedded


def test_shards_are_four_unless_the_home_says_otherwise(home):
    assert embedded.shard_count(home) == 4
    embedded.set_shard_count(home, 10)

    assert embedded.shard_count(home) == 10
    assert embedded.database_names(home)[-1] == "constellation_shard_009"


def test_shards_are_never_taken_away(home):
    embedded.set_shard_count(home, 10)

    with pytest.raises(embedded.EmbeddedPostgresError, match="leave TVs behind"):
        embedded.set_shard_count(home, 3)


@pytest.mark.parametrize("shards", ["0", '"many"', "1001", "true"])
def test_senseless_number_of_shards_names_the_file(home, shards):
    home.mkdir(parents=True)
    (home / "embedded.json").write_text(f'{{"shards": {shards}}}')

    with pytest.raises(embedded.EmbeddedPostgresError, match=r"embedded\.json"):
        embedded.shard_count(home)
