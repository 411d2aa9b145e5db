"""Sealed texts open only as the field, for the subject and under the key that they were sealed with."""

from uuid import UUID

import pytest

from shared.domain import Sealed
from shared.service.vault import CannotOpen, Vault

KEY, OTHER_KEY = bytes(range(32)), bytes(32)
ANN, BOB = UUID(int=1), UUID(int=2)
VAULT = Vault(KEY)


@pytest.mark.parametrize("text", ["", "ann@example.com", "Zoë 🎁\nline two", "x" * 100_000])
def test_what_was_sealed_opens_again(text: str) -> None:
    sealed = VAULT.seal(ANN, "name", text)
    assert Vault(KEY).open(sealed, "name") == text


def test_a_sealed_text_names_its_version_and_subject_and_shows_nothing_else() -> None:
    sealed = VAULT.seal(ANN, "email", "ann@example.com")
    version, subject, _nonce, _ciphertext = sealed.split(".")
    assert (version, subject) == ("v1", str(ANN))
    assert "ann@" not in sealed


def test_sealing_twice_gives_different_texts() -> None:
    assert VAULT.seal(ANN, "name", "Ann") != VAULT.seal(ANN, "name", "Ann")


def test_another_field_does_not_open() -> None:
    with pytest.raises(CannotOpen, match="email"):
        VAULT.open(VAULT.seal(ANN, "name", "Ann"), "email")


def test_another_subject_does_not_open() -> None:
    sealed = VAULT.seal(ANN, "name", "Ann")
    with pytest.raises(CannotOpen):
        VAULT.open(Sealed(sealed.replace(str(ANN), str(BOB))), "name")


def test_another_key_does_not_open() -> None:
    with pytest.raises(CannotOpen):
        Vault(OTHER_KEY).open(VAULT.seal(ANN, "name", "Ann"), "name")


def test_an_unknown_version_does_not_open() -> None:
    sealed = VAULT.seal(ANN, "name", "Ann")
    with pytest.raises(CannotOpen, match="v2"):
        VAULT.open(Sealed("v2" + sealed[2:]), "name")


def test_any_changed_character_of_nonce_or_ciphertext_does_not_open() -> None:
    sealed = VAULT.seal(ANN, "name", "Ann")
    version, subject, nonce, ciphertext = sealed.split(".")
    for at in range(len(nonce) - 1):
        with pytest.raises(CannotOpen):
            VAULT.open(Sealed(".".join([version, subject, changed(nonce, at), ciphertext])), "name")
    for at in range(len(ciphertext) - 1):
        with pytest.raises(CannotOpen):
            VAULT.open(Sealed(".".join([version, subject, nonce, changed(ciphertext, at)])), "name")


@pytest.mark.parametrize(
    "damaged",
    [
        "",
        "v1",
        "Ann",
        "v1.a.b",
        "v1.a.b.c.d",
        "v1.a..",
        "v1.a.é.é",
        "v1.\ud800.AAAAAAAAAAAAAAAA.AAAA",
        "v1.a.b.c",
    ],
)
def test_what_is_no_sealed_text_does_not_open(damaged: str) -> None:
    with pytest.raises(CannotOpen):
        VAULT.open(Sealed(damaged), "name")


def test_a_shortened_text_does_not_open() -> None:
    sealed = VAULT.seal(ANN, "name", "Ann")
    for end in range(len(sealed) - 1):
        with pytest.raises(CannotOpen):
            VAULT.open(Sealed(sealed[:end]), "name")


def test_fingerprints_are_equal_for_equal_texts_whatever_their_case_and_margins() -> None:
    print_ = VAULT.fingerprint("Ann@Example.com ")
    assert print_ == VAULT.fingerprint("ann@example.com") == Vault(KEY).fingerprint("ann@example.com")
    assert print_ != VAULT.fingerprint("bob@example.com")
    assert print_ != Vault(OTHER_KEY).fingerprint("ann@example.com")
    assert "ann" not in print_


def changed(text: str, at: int) -> str:
    """`text` with another base64 character at one place."""
    return text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]
