"""Options in, requests out: lists, JSON, namespaces, signatures of batches."""

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.bootstrap.place import path_of
from app.cli.commands.portability import BATCH_BYTES_MAX, BATCH_ROWS_MAX, _batches, _follow
from app.cli.namespace_default import default_namespace, fitted, origin_name
from app.cli.words import check_tier, json_word, split_words
from app.domain import validation
from app.domain.errors import InvalidInputError


def test_words_are_trimmed_and_empty_ones_dropped():
    assert split_words(" a, b ,,c ") == ("a", "b", "c")
    assert split_words("") == ()


def test_an_unknown_tier_is_refused_with_the_three_that_there_are():
    check_tier(None)
    check_tier("long")
    with pytest.raises(InvalidInputError, match=r"invalid tier: ever \(use short, mid, long\)"):
        check_tier("ever")


def test_what_is_not_json_names_its_option():
    assert json_word("--x", None) is None
    assert json_word("--x", '{"a": [1]}') == {"a": [1]}
    with pytest.raises(InvalidInputError, match="--citations is not JSON"):
        json_word("--citations", "{")


@pytest.mark.parametrize(
    "address",
    [
        "git@host.example:owner/thing.git",
        "https://host.example/owner/thing",
        "https://host.example/owner/thing.git/",
        "/srv/git/thing.git\n",
        "host.example:thing.git",
    ],
)
def test_the_repository_has_the_last_name_of_its_address(address):
    assert origin_name(address) == "thing"


def test_the_namespace_is_the_setting_else_the_origin_else_the_folder(tmp_path):
    folder = tmp_path / "my  notes"
    folder.mkdir()
    assert default_namespace("set", folder) == "set"
    assert default_namespace(None, folder) == "my-notes"
    for words in (["init", "-q"], ["remote", "add", "origin", "git@h.example:o/repo.git"]):
        subprocess.run(["git", *words], cwd=folder, check=True)
    assert default_namespace(None, folder) == "repo"
    assert default_namespace("", folder) == "repo"


@given(st.text(max_size=600))
def test_whatever_a_folder_is_called_the_namespace_is_valid_or_left_out(name):
    namespace = fitted(name)
    assert namespace == "" or validation.namespace(namespace)
    assert "/" not in namespace


@pytest.mark.parametrize("name", ["", "..", "   ", "\x80", "x" * 600])
def test_a_name_that_cannot_be_a_namespace_is_left_out(name):
    assert fitted(name) == ""


@given(st.lists(st.integers(0, 400_000), max_size=30))
def test_batches_keep_every_row_in_order_and_fit_a_request(sizes):
    rows = [{"id": number, "content": "x" * size} for number, size in enumerate(sizes)]
    batches = list(_batches(rows))
    assert [row for batch in batches for row in batch] == rows
    for batch in batches:
        weight = sum(len(str(row["content"])) for row in batch)
        assert 1 <= len(batch) <= BATCH_ROWS_MAX
        assert len(batch) == 1 or weight <= BATCH_BYTES_MAX


def test_a_link_follows_rows_that_were_merged_into_others():
    link = {"source_id": "a", "target_id": "b", "relation": "related_to"}
    assert _follow(link, {"b": "c"}) == {**link, "target_id": "c"}


def test_a_store_url_names_a_file_or_is_refused():
    assert str(path_of("sqlite:///abs/x.db")) == "/abs/x.db"
    assert str(path_of("sqlite://./rel/x.db")) == "rel/x.db"
    for url in ("mysql://x", "sqlite://x.db", "x.db"):
        with pytest.raises(InvalidInputError, match="--store-url must be one of"):
            path_of(url)
