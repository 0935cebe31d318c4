"""Foreign text, made harmless."""

import unicodedata
import xml.etree.ElementTree as ET
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.kit.text import cut, fingerprint_digits, fingerprint_shown, pem_certificates, terminal_clean, xml_clean

ANYTHING = st.text(st.characters(exclude_categories=()))
"""Lone surrogates too."""
REFUSED_BY_XAPI = ["\x00", "\x08", "\x0b", "\x0c", "\r", "\x1b", "\x1f", "\ufffe", "\uffff", "\ud800", "\udfff"]
TAKEN_BY_XAPI = ["\t", "\n", " ", "~", "ä", "\ud7ff", "\ue000", "\ufffd", "\U00010000", "\U0010ffff", "日本", "🐳"]


@pytest.mark.parametrize("character", REFUSED_BY_XAPI, ids=ascii)
def test_what_bricks_a_pool_is_replaced(character: str) -> None:
    """C0 controls, surrogates, U+FFFE and U+FFFF never reach XAPI's database."""
    assert xml_clean(f"a{character}b") == "a\ufffdb"


@pytest.mark.parametrize("text", TAKEN_BY_XAPI, ids=ascii)
def test_what_xml_holds_stays(text: str) -> None:
    """Tab, newline and every ordinary character pass unchanged."""
    assert xml_clean(f"a{text}b") == f"a{text}b"


@given(ANYTHING)
def test_clean_text_can_be_put_into_xml_and_read_again(text: str) -> None:
    """An XML parser reads back exactly what was cleaned, and cleaning it again changes nothing."""
    clean = xml_clean(text)
    read = ET.fromstring(f"<a>{escape(clean)}</a>")  # noqa: S314 - no entities can be in it
    assert (read.text or "") == clean
    assert xml_clean(clean) == clean
    assert "\ufffe" not in clean
    assert "\uffff" not in clean


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("web-1", "web-1", id="plain"),
        pytest.param("größe 日本 🐳", "größe 日本 🐳", id="words"),
        pytest.param("a\x1b[2Jb", "a?[2Jb", id="escape-sequence"),
        pytest.param("a\x9b2Jb", "a?2Jb", id="one-byte-csi"),
        pytest.param("a\rb\nc\td", "a?b?c?d", id="line-ends"),
        pytest.param("a\u2028b\u2029c\x85d", "a?b?c?d", id="unicode-line-ends"),
        pytest.param("abc\u202egnp.exe", "abc?gnp.exe", id="right-to-left-override"),
        pytest.param("a\u2066b\u2069c\u200fd", "a?b?c?d", id="isolates-and-marks"),
        pytest.param("a\u200bb\ufeffc", "a?b?c", id="invisible"),
        pytest.param("a\ud800b", "a?b", id="lone-surrogate"),
        pytest.param("a\x00b\x7fc", "a?b?c", id="null-and-delete"),
    ],
)
def test_text_for_a_terminal_cannot_command_it(text: str, shown: str) -> None:
    """Escapes, line ends, bidirectional marks and what cannot be seen become question marks."""
    assert terminal_clean(text) == shown


@given(ANYTHING)
def test_terminal_text_is_one_harmless_line(text: str) -> None:
    """Whatever comes in: the same number of characters, one line, encodable, nothing of a control category."""
    shown = terminal_clean(text)
    assert len(shown) == len(text)
    assert len(shown.splitlines()) <= 1
    assert not {unicodedata.category(character) for character in shown} & {"Cc", "Cf", "Cs"}
    shown.encode()


def test_of_a_pem_file_only_certificates_are_read() -> None:
    """Not the private key, not what stands around, not a half."""
    one = "-----BEGIN CERTIFICATE-----\r\nAAAA\r\n-----END CERTIFICATE-----"
    key = "-----BEGIN RSA PRIVATE KEY-----\nBBBB\n-----END RSA PRIVATE KEY-----\n"
    assert pem_certificates(f"subject=x\n{key}{one}\n{one}{key}-----BEGIN CERTIFICATE-----\nCCCC") == f"{one}\n" * 2
    assert pem_certificates(key) == pem_certificates("-----BEGIN CERTIFICATE-----" * 100_000) == ""


@pytest.mark.parametrize("text", ["ab" * 32, ":".join(["AB"] * 32), f" SHA256:{'ab' * 32}\n", "ab " * 32])
def test_spellings_of_a_fingerprint(text: str) -> None:
    """People copy it from where they find it; it is shown as openssl prints it."""
    digits = fingerprint_digits(text)
    assert digits == "ab" * 32
    assert fingerprint_shown(digits) == ":".join(["AB"] * 32)


@pytest.mark.parametrize("text", ["", "zz", "ab" * 20, "ab" * 33, "ag" * 32, "sha256", "\uff11" * 64])
def test_what_is_no_fingerprint(text: str) -> None:
    """A hash of another length is none either."""
    assert fingerprint_digits(text) is None


@given(text=ANYTHING, limit=st.integers(3, 40))
def test_cut_text_fits(text: str, limit: int) -> None:
    """At most so many bytes; what fits is not touched; what was cut says so and is a start of the whole."""
    short = cut(text, limit)
    assert len(short.encode("utf-8", "replace")) <= limit
    if len(text.encode("utf-8", "replace")) <= limit:
        assert short == text
    else:
        assert short.endswith("…")
        assert text.encode("utf-8", "replace").decode().startswith(short[:-1])
