"""Sealed text: what is sealed opens again, and whatever else somebody hands in is refused in one way."""

from uuid import UUID

from hypothesis import assume, given
from hypothesis import strategies as st

from shared.domain import Sealed
from shared.service.vault import CannotOpen, Vault
from tests.property.profiles import PROFILE

KEY = bytes(range(32))
VAULT, STRANGER = Vault(KEY), Vault(KEY[::-1])
texts = st.text(st.characters(exclude_categories=["Cs"]))
fields = st.sampled_from(["name", "email", "address"])


def opens(sealed: str, field: str, vault: Vault = VAULT) -> str | None:
    """The text, None if it cannot be opened; anything else that is raised is a defect."""
    try:
        return vault.open(Sealed(sealed), field)
    except CannotOpen:
        return None


@PROFILE
@given(st.uuids(), fields, texts)
def test_what_is_sealed_opens_for_its_field_and_key_alone(subject: UUID, field: str, text: str) -> None:
    sealed = VAULT.seal(subject, field, text)

    assert opens(sealed, field) == text
    assert opens(sealed, field + "s") is None
    assert opens(sealed, field, STRANGER) is None


@PROFILE
@given(st.text() | st.lists(st.text(), min_size=4, max_size=4).map(".".join))
def test_anything_else_is_refused(text: str) -> None:
    assert opens(text, "name") is None
    assert opens(f"v1.{text}", "name") is None


@PROFILE
@given(st.uuids(), texts, st.data())
def test_a_changed_seal_never_opens_as_another_text(subject: UUID, text: str, data: st.DataObject) -> None:
    sealed = VAULT.seal(subject, "name", text)
    at = data.draw(st.integers(0, len(sealed) - 1))
    other = data.draw(st.characters())
    assume(other != sealed[at])

    assert opens(sealed[:at] + other + sealed[at + 1 :], "name") in {None, text}
    assert opens(sealed[:at] + sealed[at + 1 :], "name") in {None, text}


@PROFILE
@given(st.uuids(), texts, texts)
def test_seals_cannot_be_spliced(subject: UUID, one: str, other: str) -> None:
    parts = VAULT.seal(subject, "name", one).split("."), VAULT.seal(subject, "name", other).split(".")
    assume(one != other)

    assert opens(".".join([*parts[0][:3], parts[1][3]]), "name") is None
    assert opens(".".join([*parts[0][:2], *parts[1][2:]]), "name") == other
