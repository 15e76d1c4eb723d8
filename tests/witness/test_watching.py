"""What a witness signs and what it refuses, whatever the log, the clock or the disk does."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from base64 import b64decode
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from exchange.cosignature import WitnessKey, cosign, cosignatures
from exchange.errors import ConfigurationError, InvalidRequest, VerificationError
from exchange.log import Checkpoint
from exchange.merkle import MAX_PATH
from exchange.note import LogKey, NoteVerifier, split_note
from exchange.witness.calling import sane
from exchange.witness.carrying import Head
from exchange.witness.evidence import Evidence
from exchange.witness.judging import Judgement, judge
from exchange.witness.memory import Memory
from exchange.witness.watching import AGAIN, HistoryBroken, NotSigned, Witness
from tests.witness.logs import KEY, NOON, Log

WITNESS = LogKey.from_seed("police110.example/witness/1", bytes([7] * 32))
ORIGIN = KEY.name


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        """Return the time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The witness's clock."""
    return Clock()


@pytest.fixture
def witness(tmp_path: Path, clock: Clock) -> Iterator[Witness]:
    """A witness with a memory that was begun."""
    Memory.begin(tmp_path / "memory", [ORIGIN])
    memory = Memory.open(tmp_path / "memory")
    yield Witness(WITNESS, memory, clock)
    memory.close()


def heads(notes: Sequence[bytes]) -> list[int]:
    """Return the sizes of co-signed heads, each checked with the witness's public key."""
    found = []
    for note in notes:
        (signed,) = cosignatures(note, [WitnessKey.of(WITNESS)])
        assert signed.witness == WITNESS.name
        found.append(Checkpoint.parse(split_note(note)[0]).size)
    return found


def test_what_grows_is_signed_at_every_size(witness: Witness) -> None:
    """From nothing on, by any step, whatever powers of two lie between."""
    log, sizes = Log(), []
    for step in (1, 1, 1, 4, 1, 8, 15, 2):
        grown = log.grown(step)
        witness.look(KEY.verifier, grown)
        sizes += heads(grown.given)
        log = grown

    assert sizes == [1, 2, 3, 7, 8, 16, 31, 33]


def test_an_idle_log_is_signed_again_every_hour(witness: Witness, clock: Clock) -> None:
    """Not while the last co-signature is fresh; and again where the bridge never got it."""
    log = Log().grown(3)
    for later in (timedelta(0), AGAIN - timedelta(seconds=1), AGAIN):
        clock.now = NOON + later
        witness.look(KEY.verifier, log)

    assert heads(log.given) == [3, 3]


def _rewritten(log: Log) -> Log:
    return replace(log, leaves=log.leaves[:2]).grown(len(log.leaves) - 2, salt=1)


FORKS: dict[str, tuple[Callable[[Log], Log], Judgement]] = {
    "the same size, another root": (_rewritten, Judgement.REWRITTEN),
    "longer, and begins otherwise": (lambda log: _rewritten(log).grown(4), Judgement.REWRITTEN),
    "put back from a backup": (lambda log: replace(log, leaves=log.leaves[:3]), Judgement.BACK),
    "empty once more": (lambda _: Log(), Judgement.BACK),
    "put back, then gone on": (
        lambda log: replace(log, leaves=log.leaves[:3]).grown(9, salt=2),
        Judgement.REWRITTEN,
    ),
}


@pytest.mark.parametrize("name", FORKS)
def test_a_second_history_is_refused_and_kept(name: str, witness: Witness, tmp_path: Path) -> None:
    """Nothing is signed; both heads are kept; it stays so for the true log too, until a person clears it."""
    make, why = FORKS[name]
    true = Log().grown(5)
    witness.look(KEY.verifier, true)
    fork = make(true)
    fork.given.clear()
    with pytest.raises(HistoryBroken) as raised:
        witness.look(KEY.verifier, fork)
    grown = true.grown(1)
    with pytest.raises(HistoryBroken, match="stands"):
        witness.look(KEY.verifier, grown)
    seen, shown, judged = raised.value.evidence.check([KEY.verifier])
    file = witness.memory.alarm_file(ORIGIN)

    assert (fork.given, grown.given) == ([], [])
    assert (seen.size, shown.size, judged) == (5, len(fork.leaves), why)
    assert Evidence.decode(file.read_bytes()) == raised.value.evidence
    kept = witness.memory.clear(ORIGIN, NOON)
    assert kept is not None
    assert Evidence.decode(kept.read_bytes()) == raised.value.evidence
    with pytest.raises(HistoryBroken):
        witness.look(KEY.verifier, fork)  # what was seen stays seen
    witness.memory.clear(ORIGIN, NOON)
    witness.look(KEY.verifier, grown)
    assert heads(grown.given) == [6]


def test_two_bridges_that_claim_one_log_are_found_out(witness: Witness) -> None:
    """Whichever is looked at second is the one that does not fit."""
    root = Log().grown(4)
    one, other = root.grown(3), replace(root.grown(3, salt=5), source="other.example:5110")
    witness.look(KEY.verifier, one)
    with pytest.raises(HistoryBroken, match=r"other\.example"):
        witness.look(KEY.verifier, other)


def test_a_log_of_a_power_of_two_that_shows_nothing_is_an_alarm(witness: Witness) -> None:
    """At such a size a proof says nothing of what the log has there: it is unproven, and refused."""
    true = Log().grown(4)
    witness.look(KEY.verifier, true)
    with pytest.raises(HistoryBroken) as raised:
        witness.look(KEY.verifier, _rewritten(true).grown(3))

    assert raised.value.evidence.why is Judgement.UNPROVEN
    assert raised.value.evidence.check([KEY.verifier])[2] is Judgement.UNPROVEN


class Hostile(Log):
    """A log that answers with what it is told to, in place of a proof."""

    answer: Sequence[bytes] = ()

    def proof(self, origin: str, first: int, second: int) -> Sequence[bytes]:
        """Return anything."""
        del origin, first, second
        return sane(self.answer)


@pytest.mark.parametrize(
    "answer",
    [[], [b""], [bytes(31)], [bytes(33)], [bytes(32)], [bytes(32)] * 128, [bytes(32)] * 129, [bytes(32)] * 9999,
     [bytes(4_000_000)]],
    ids=lambda answer: f"{len(answer)}x{len(answer[0]) if answer else 0}",
)  # fmt: skip
@pytest.mark.parametrize("seen", [3, 4])
def test_hostile_proofs_of_any_size_are_refused(
    answer: list[bytes], seen: int, witness: Witness
) -> None:
    """None is believed, none makes the witness fail otherwise, and the evidence stays small."""
    witness.look(KEY.verifier, Log().grown(seen))
    hostile = Hostile(leaves=Log().grown(seen).grown(5).leaves)
    hostile.answer = answer
    with pytest.raises(HistoryBroken):
        witness.look(KEY.verifier, hostile)

    assert witness.memory.alarm_file(ORIGIN).stat().st_size < 20_000


def test_no_proof_of_chance_is_believed() -> None:
    """Random proofs between random sizes, huge ones too, end in a judgement and never in growth."""
    chance = random.Random(4)
    root = bytes(32)
    for _ in range(2000):
        size = chance.randrange(1, 1 << chance.randrange(1, 63))
        head = Checkpoint(origin=ORIGIN, size=size + chance.randrange(1, 99), root=bytes([1] * 32))
        path = [chance.randbytes(32) for _ in range(chance.randrange(2 * MAX_PATH + 3))]
        assert judge(size, root, head, path) is Judgement.UNPROVEN


def test_a_clock_that_was_set_back_signs_nothing(witness: Witness, clock: Clock) -> None:
    """No time before one that was signed, and no alarm for it; when the clock is right again it goes on."""
    log = Log().grown(2)
    witness.look(KEY.verifier, log)
    clock.now = NOON - timedelta(seconds=1)
    grown = log.grown(1)
    with pytest.raises(NotSigned, match="signed already"):
        witness.look(KEY.verifier, grown)
    assert grown.given == []
    assert witness.memory.alarm(ORIGIN) is None
    clock.now = NOON
    witness.look(KEY.verifier, grown)
    assert heads(grown.given) == [3]


def test_only_the_logs_own_head_counts(witness: Witness) -> None:
    """A head signed by another key, of another log, or cut off changes nothing in the memory."""
    before = witness.memory.seen(ORIGIN)
    stranger = LogKey.from_seed(ORIGIN, bytes(32))
    log = Log().grown(2)
    for note in (
        replace(log, key=stranger).note(),
        log.note()[:-9],
        b"",
        b"\xff" * 99,
        log.note() * 2,
    ):
        with pytest.raises(VerificationError):
            witness.consider(KEY.verifier, note, lambda *_: (), "x")

    assert witness.memory.seen(ORIGIN) == before
    assert witness.memory.alarm(ORIGIN) is None


def test_a_log_does_not_vouch_for_itself(witness: Witness) -> None:
    """The log's own key is no witness's, under whatever name."""
    same = NoteVerifier(name=ORIGIN, public=WITNESS.verifier.public)
    with pytest.raises(ConfigurationError, match="vouch for itself"):
        witness.consider(same, Log().grown(1).note(), lambda *_: (), "x")


def test_a_memory_that_is_gone_or_damaged_stops_the_witness(
    witness: Witness, tmp_path: Path
) -> None:
    """It does not begin again by itself: it could be made to sign a second history."""
    log = Log().grown(2)
    witness.look(KEY.verifier, log)
    (file,) = (tmp_path / "memory").glob("*.seen.json")
    whole = file.read_bytes()
    data = json.loads(whole)
    damaged = [
        whole[:-5],
        b"",
        b"[]",
        b"{}",
        *(json.dumps({**data, key: None}).encode() for key in data),
    ]
    for content in (None, *damaged):
        if content is None:
            file.unlink()
        else:
            file.write_bytes(content)
        with pytest.raises(ConfigurationError):
            witness.look(KEY.verifier, log.grown(1))
    file.write_bytes(whole)
    assert Memory.open(tmp_path / "memory", reading=True).seen(ORIGIN).size == 2


def test_one_process_at_a_time(witness: Witness, tmp_path: Path) -> None:
    """Two with one memory would sign against each other; to look at it is allowed."""
    with pytest.raises(ConfigurationError, match="Another witness"):
        Memory.open(tmp_path / "memory")
    with pytest.raises(ConfigurationError, match="Another witness"):
        Memory.begin(tmp_path / "memory", ["x"])
    assert Memory.open(tmp_path / "memory", reading=True).seen(ORIGIN).size == 0


def test_files_come_late_twice_and_damaged(witness: Witness) -> None:
    """An old one is no alarm, the same one is signed again, a damaged one is told from a fork."""
    old, log = Log().grown(2), Log().grown(5)

    def head(of: Log, *sizes: int) -> Head:
        proofs = {size: tuple(of.proof(ORIGIN, size, len(of.leaves))) for size in sizes}
        return Head(origin=ORIGIN, note=of.note(), proofs=proofs)

    def take(content: bytes) -> bytes:
        found = Head.decode(content)
        return witness.consider_file(KEY.verifier, found.note, found.prove, "a file").note

    first = head(log).encode()
    assert heads([take(first), take(first)]) == [5, 5]
    with pytest.raises(NotSigned, match="older head"):
        take(head(old).encode())
    grown = log.grown(4)
    with pytest.raises(NotSigned, match="--from 5"):
        take(head(grown, 2, 3).encode())
    good = head(grown, 2, 5).encode()
    for damaged in (good.replace(b"A", b"B", 1), good[:-20], b"", good + good, b'{"format": 1}'):
        with pytest.raises(InvalidRequest):
            take(damaged)
    assert witness.memory.alarm(ORIGIN) is None
    assert heads([take(good)]) == [9]
    with pytest.raises(HistoryBroken):
        take(head(_rewritten(grown).grown(1), 9).encode())


def test_the_cosignature_is_as_c2sp_has_it() -> None:
    """Key id, signed text and line as c2sp.org/tlog-cosignature spells them, checked without our code."""
    text = split_note(Log().grown(1).note())[0]
    name, encoded = cosign(text, WITNESS, NOON).line.removeprefix("— ").split(" ")
    value, public = b64decode(encoded), WITNESS.verifier.public
    seconds = int(NOON.timestamp())
    WITNESS.key.public_key().verify(value[12:], f"cosignature/v1\ntime {seconds}\n{text}".encode())

    assert name == WITNESS.name
    assert value[:4] == sha256(f"{name}\n".encode() + b"\x04" + public).digest()[:4]
    assert value[4:12] == seconds.to_bytes(8, "big")
    assert len(value) == 4 + 8 + 64
    key = WitnessKey.of(WITNESS)
    assert WitnessKey.parse(str(key)) == WitnessKey.parse(str(WITNESS.verifier)) == key


def test_killed_at_each_step_it_never_signs_two_forks(tmp_path: Path) -> None:
    """SIGKILL before each step on the disk, then a fork is shown: of the two at most one is ever signed."""
    ran = subprocess.run(
        [sys.executable, "-m", "tests.witness.kill_at", str(tmp_path)],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    steps, signed_true, signed_fork = map(int, ran.stdout.split())
    assert steps >= 6
    assert signed_true + signed_fork >= steps  # whichever it was, one of them was signed in the end
    assert signed_fork >= 1
    assert signed_true >= 2
