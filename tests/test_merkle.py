"""Merkle trees are those of RFC 9162, and a proof leads from an entry to the root and from no other."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile import merkle

# The entries and roots that implementations of Certificate Transparency test themselves with.
# https://github.com/google/certificate-transparency/blob/master/python/ct/crypto/merkle_test.py
ENTRIES = [
    bytes.fromhex(entry)
    for entry in (
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
    )
]  # fmt: skip
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


@pytest.mark.parametrize("size", range(9))
def test_the_root_is_the_one_that_others_find(size: int) -> None:
    assert merkle.root(ENTRIES[:size]).hex() == ROOTS[size]


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=70, unique=True), st.data())
def test_a_proof_leads_from_its_entry_to_the_root_and_from_no_other(entries: list[bytes], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(entries) - 1))
    steps = merkle.proof(entries, place)
    assert merkle.root_by(entries[place], steps) == merkle.root(entries)
    assert merkle.root_by(sha256(entries[place]).digest(), steps) != merkle.root(entries)


def test_a_place_that_is_none_has_no_proof() -> None:
    for place in (-1, 8):
        with pytest.raises(IndexError):
            merkle.proof(ENTRIES, place)
