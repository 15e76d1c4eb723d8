"""Signed notes against published vectors, and everything that must not be read as one."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.envelope import ED25519, REFUSED_TYPE, Verifier, sign
from exchange.errors import ConfigurationError, VerificationError
from exchange.note import (
    MAX_NOTE,
    MAX_SIGNATURES,
    LogKey,
    NoteVerifier,
    encode_base64,
    open_note,
    sign_note,
    split_note,
)

# The example of c2sp.org/signed-note.
SPEC_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
SPEC_NOTE = (
    "This is an example message.\n"
    "\n"
    "— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYj"
    "OBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
).encode()

# The vector of golang.org/x/mod/sumdb/note.
GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_PRIVATE = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
GO_TEXT = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
)
GO_LINE = (
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqf"
    "qdngotpRZb6KE6RyyBwJnAM=\n"
)
ENOCH_KEY = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop"
ENOCH_LINE = (
    "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTG"
    "wnWLox33WWd1RvMc+QQ=\n"
)
PETER = NoteVerifier.parse(GO_KEY)
ENOCH = NoteVerifier.parse(ENOCH_KEY)


def note(*lines: str, text: str = GO_TEXT) -> bytes:
    """The text with these signature lines."""
    return f"{text}\n{''.join(lines)}".encode()


class TestVectors:
    def test_the_specification(self) -> None:
        """The specification's own example opens under its own key."""
        verifier = NoteVerifier.parse(SPEC_KEY)

        assert open_note(SPEC_NOTE, [verifier]) == (
            "This is an example message.\n",
            frozenset({"example.com/foo"}),
        )
        assert str(verifier) == SPEC_KEY

    def test_go(self) -> None:
        """Go's private key signs the same bytes here, and both keys are written alike."""
        key = LogKey.parse(GO_PRIVATE)

        assert sign_note(GO_TEXT, key) == note(GO_LINE)
        assert (key.encode(), str(key.verifier)) == (GO_PRIVATE, GO_KEY)

    def test_two_signers(self) -> None:
        """Each reader sees the signatures of the keys it knows and ignores the others."""
        both = note(GO_LINE, ENOCH_LINE)

        assert open_note(both, [PETER])[1] == {"PeterNeumann"}
        assert open_note(both, [ENOCH])[1] == {"EnochRoot"}
        assert open_note(both, [ENOCH, PETER])[1] == {"PeterNeumann", "EnochRoot"}

    def test_text_with_empty_lines(self) -> None:
        """The last empty line parts text and signatures; earlier ones belong to the text."""
        key = LogKey.from_seed("log.example", bytes(32))
        text = "one\n\n\ntwo\n\n"

        assert open_note(sign_note(text, key), [key.verifier])[0] == text


class TestRefused:
    @pytest.mark.parametrize(
        "bad",
        [
            b"",
            b"\n",
            GO_TEXT.encode(),
            note(),
            note(GO_LINE[:-1]),
            note(GO_LINE, "Unexpected line.\n"),
            note(GO_LINE, "\n"),
            note(GO_LINE, GO_LINE),
            note(GO_LINE, ENOCH_LINE, ENOCH_LINE),
            note(GO_LINE.replace("— ", "- ")),
            note(GO_LINE.replace("— ", "—")),
            note(GO_LINE.replace("— ", "—  ")),
            note(GO_LINE.replace("— ", "—\u00a0")),
            note(GO_LINE.replace("\n", " \n")),
            note(GO_LINE.replace("\n", "\r\n")),
            note(GO_LINE.replace("=", "")),
            note(GO_LINE.replace("AM=", "AN=")),
            note(GO_LINE.replace("=", "é")),
            note(GO_LINE, "— Bad+Name x08go/ZJ\n"),
            note(GO_LINE, "— Name x08goA==\n"),
            note(GO_LINE, "—  x08go/ZJ\n"),
            b"\x01" + note(GO_LINE),
            b"\xff" + note(GO_LINE),
            note(GO_LINE).replace(b"\n\n", b"\n"),
            note(GO_LINE, *(f"— w{n} x08go/ZJ\n" for n in range(MAX_SIGNATURES))),
            note(GO_LINE, text="x" * MAX_NOTE + "\n"),
        ],
    )
    def test_malformed(self, bad: bytes) -> None:
        """Anything but the one form is refused, also where the signature would hold."""
        with pytest.raises(VerificationError):
            open_note(bad, [PETER])

    @pytest.mark.parametrize("text", ["a\r\n", "a\x00\n", "x" * MAX_NOTE + "\n"])
    def test_signed_all_the_same(self, text: str) -> None:
        """A text with control characters or without end is refused although its key signed it."""
        key = LogKey.parse(GO_PRIVATE)
        value = encode_base64(PETER.key_hash + key.key.sign(text.encode()))
        with pytest.raises(VerificationError, match="malformed"):
            open_note(note(f"— PeterNeumann {value}\n", text=text), [PETER])

    def test_sixteen_witnesses(self) -> None:
        """As many signatures as the specification asks for are read."""
        lines = [f"— w{n} x08go/ZJ\n" for n in range(MAX_SIGNATURES - 1)]

        assert open_note(note(GO_LINE, *lines), [PETER])[1] == {"PeterNeumann"}

    @pytest.mark.parametrize("known", [[], [ENOCH], [NoteVerifier.parse(SPEC_KEY)]])
    def test_no_known_signer(self, known: list[NoteVerifier]) -> None:
        """A note that nobody trusted has signed is refused."""
        with pytest.raises(VerificationError, match="No trusted key"):
            open_note(note(GO_LINE), known)

    def test_one_bad_signature_of_a_known_key(self) -> None:
        """A known key's signature that does not hold spoils the note, whoever else signed."""
        with pytest.raises(VerificationError, match="EnochRoot"):
            open_note(note(GO_LINE, ENOCH_LINE.replace("WWd1", "WWd2")), [PETER, ENOCH])

    def test_other_text(self) -> None:
        """The signature is over the text."""
        with pytest.raises(VerificationError, match="PeterNeumann"):
            open_note(note(GO_LINE, text=GO_TEXT.replace("problem is", "problem was")), [PETER])

    @given(st.integers(0, len(note(GO_LINE)) * 8 - 1))
    def test_any_flipped_bit(self, bit: int) -> None:
        """One flipped bit anywhere in a note is refused."""
        good = note(GO_LINE)
        bad = (int.from_bytes(good) ^ 1 << bit).to_bytes(len(good))

        with pytest.raises(VerificationError):
            open_note(bad, [PETER])

    @given(st.binary(max_size=200))
    def test_any_bytes(self, data: bytes) -> None:
        """No bytes make the reader fail in another way."""
        with pytest.raises(VerificationError):
            open_note(data, [PETER])

    @pytest.mark.parametrize("text", ["", "no line", "a\r\n", "a\x00\n", "a\tb\n"])
    def test_unsignable(self, text: str) -> None:
        """A text that could not be read back is not signed."""
        with pytest.raises(ValueError, match="whole lines"):
            sign_note(text, LogKey.parse(GO_PRIVATE))

    def test_splitting_checks_no_signature(self) -> None:
        """The text can be had without a key, for those who stored it themselves."""
        assert split_note(note("— Nobody x08go/ZJ\n")) == (GO_TEXT, ["— Nobody x08go/ZJ"])


class TestKeys:
    @pytest.mark.parametrize(("parse", "text"), [(NoteVerifier, GO_KEY), (LogKey, GO_PRIVATE)])
    def test_every_part_and_every_change(
        self, parse: type[NoteVerifier | LogKey], text: str
    ) -> None:
        """No cut of a key and no changed character of it is a key."""
        parse.parse(text)
        bad = [text[:n] for n in range(len(text))] + [text[n:] for n in range(1, len(text))]
        bad += [text[:n] + chr(ord(text[n]) + 1) + text[n + 1 :] for n in range(len(text))]
        bad += [text + "\n", " " + text, text.replace("c74f", "C74F")]
        for changed in bad:
            with pytest.raises(ConfigurationError):
                parse.parse(changed)

    @pytest.mark.parametrize(
        "text",
        [
            "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
            "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        ],
        ids=["too-long", "unknown-type"],
    )
    def test_right_hash_of_a_wrong_key(self, text: str) -> None:
        """A key of another length or type is refused although its hash is right."""
        with pytest.raises(ConfigurationError):
            NoteVerifier.parse(text)

    @pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "a\x00b", "a\u3000b", "x" * 256])
    def test_unfit_name(self, name: str) -> None:
        """A name that would break a signature line is refused."""
        with pytest.raises(ConfigurationError, match="no name for a log"):
            LogKey.from_seed(name, bytes(32))

    def test_load(self, tmp_path: Path) -> None:
        """A key file is the encoded key on one line, closed to others."""
        path = tmp_path / "log.key"
        path.write_text(GO_PRIVATE + "\n")
        path.chmod(0o600)

        assert str(LogKey.load(path).verifier) == GO_KEY

    def test_load_open_to_others(self, tmp_path: Path) -> None:
        """A key file that everybody can read is refused."""
        path = tmp_path / "log.key"
        path.write_text(GO_PRIVATE)
        path.chmod(0o644)

        with pytest.raises(ConfigurationError, match="chmod 600"):
            LogKey.load(path)

    @pytest.mark.parametrize("content", [b"", b"\xff", GO_KEY.encode(), b"\n" + GO_KEY.encode()])
    def test_load_something_else(self, tmp_path: Path, content: bytes) -> None:
        """A file that holds no private log key is named."""
        path = tmp_path / "log.key"
        path.write_bytes(content)
        path.chmod(0o600)

        with pytest.raises(ConfigurationError, match=r"log\.key"):
            LogKey.load(path)

    def test_signs_other_statements(self) -> None:
        """A bridge's refusal is signed by its log key and verified from its verifier key alone."""
        key = LogKey.parse(GO_PRIVATE)
        [signature] = sign(REFUSED_TYPE, [b"refusal"], key.signing_key)

        Verifier().verify(REFUSED_TYPE, b"refusal", signature, PETER.key, allowed={ED25519})

    def test_secrets_stay_out_of_logs(self) -> None:
        """Printing a log key shows nothing of the key."""
        assert "PrivateKey" not in repr(LogKey.parse(GO_PRIVATE))
