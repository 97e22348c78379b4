"""Simple paths, against a search that tries everything."""

from hypothesis import given
from hypothesis import strategies as st

from app.services.paths import PathSearch
from app.store.sql.links import Edge

_NODES = st.sampled_from("abcdefg")
_GRAPHS = st.sets(st.tuples(_NODES, _NODES).filter(lambda pair: pair[0] != pair[1]), max_size=20)


def searched(edges, source: str, target: str, length_max: int, paths_max: int) -> list[str]:
    """What a search finds that reads neighbours as the store would give them."""
    search = PathSearch(source, target, length_max, paths_max)
    while not search.is_done:
        ball = search.next_ball()
        near = [Edge(*pair) for pair in edges if pair[0] in ball.frontier]
        back = [Edge(two, one) for one, two in edges if two in ball.frontier]
        search.learn(ball, near + back)
    return ["".join(path) for path in search.paths]


def all_paths(edges, source: str, target: str, length_max: int) -> list[str]:
    """Every simple path, by trying every step."""
    adjacent = {*edges, *((two, one) for one, two in edges)}
    found, open_paths = [], [source]
    for _ in range(length_max + 1):
        found += [path for path in open_paths if path[-1] == target]
        open_paths = [
            path + two
            for path in open_paths
            if path[-1] != target
            for one, two in adjacent
            if one == path[-1] and two not in path
        ]
    return sorted(found, key=lambda path: (len(path), path))


@given(_GRAPHS, _NODES, _NODES, st.integers(1, 7))
def test_every_simple_path_is_found_once_shortest_first(edges, source, target, length_max):
    wanted = all_paths(edges, source, target, length_max)

    assert searched(edges, source, target, length_max, 10_000) == wanted


@given(_GRAPHS, _NODES, _NODES, st.integers(1, 5))
def test_a_bounded_search_finds_the_first_of_all_paths(edges, source, target, paths_max):
    wanted = all_paths(edges, source, target, 7)

    assert searched(edges, source, target, 7, paths_max) == wanted[:paths_max]


def test_a_search_stops_when_an_end_has_no_way_out():
    search = PathSearch("a", "b", 7, 10)
    search.learn(search.next_ball(), [])

    assert search.is_done
    assert search.paths == []


def test_a_tangle_that_would_take_for_ever_is_given_up():
    names = [f"n{number:03}" for number in range(200)]
    # Everybody knows everybody, but nobody knows the target within reach.
    edges = [(one, two) for one in names for two in names if one < two]
    chain = [("n199", "x1"), ("x1", "x2"), ("x2", "t")]

    found = searched([*edges, *chain], "n000", "t", 7, 10_000)

    assert len(found) < 10_000
    assert found[0] == "n000n199x1x2t"
