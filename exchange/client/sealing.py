"""
Sealing what this organisation says, and opening what was sealed to it.

A message is sealed on its way to the bridge, after it was signed: the spool keeps it in clear, the bridge
never sees it so.  Every sealed group is sealed to its author too, who can therefore hand it on later.
Keys are handed on with an offer: those of the ticket's opening, to the offer's receiver and to those who
may know, as far as its scope shows them.  A supplement is sealed to those who may know of its hand-off, too.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from exchange.acts import Classification, Group, Kind, Offer, Scope
from exchange.client.files import SealingFiles
from exchange.client.keys import OwnKeys, VerifiedKey, verified
from exchange.client.messages import SealedMessage
from exchange.errors import ConfigurationError, ExchangeError, NotFound, VerificationError
from exchange.sealing import Place, PublicKey, WrappedKey, unwrap
from exchange.text import Text
from exchange.ticket import Message
from exchange.trust import TrustStore
from exchange.wire.headers import read_envelope
from exchange.wire.sealing import group_keys, hand_on, key_to_offer, open_groups, seal_groups

#: How long a published key counts before the bridge is asked again; a new one is taken up within it.
REMEMBERED = timedelta(minutes=5)
#: How long a message waits before it is tried again whose recipient has published no key.
NO_KEY_PAUSE = timedelta(seconds=30)
#: Openings whose keys are remembered; others are asked for.
_OPENINGS = 4096

#: Asks the bridge for what organisations published, and for a ticket's envelopes.
Published = Callable[[Collection[str]], Iterable[bytes]]
Content = Callable[[str], Iterable[bytes]]
#: Asks the bridge what the hand-offs of a ticket show, by their ids.
Scopes = Callable[[str], Mapping[str, Scope]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Opening:
    """The digest of a ticket's opening, and the keys of its sealed groups that we hold."""

    digest: bytes
    keys: Mapping[int, bytes]


class Opener:
    """Opens what was sealed to *organisation*; without *keys* of its own such a message is a fault."""

    def __init__(self, organisation: str, keys: OwnKeys | None) -> None:
        self._organisation = organisation
        self._keys = keys

    def unwrap(self, place: Place, wrapped: Sequence[WrappedKey]) -> list[bytes]:
        """Return the keys among *wrapped* that are ours; raises `VerificationError` where none of ours opens."""
        ours = [one for one in wrapped if one.recipient == self._organisation]
        found: list[bytes] = []
        failure: VerificationError | None = None
        for one in ours:
            private = self._keys.private(one.key_id) if self._keys is not None else None
            if private is None:
                text = _NOT_HELD.fill(key=one.key_id.hex()[:16])
                failure = failure or VerificationError(text, rule=NOT_HELD)
                continue
            try:
                found.append(unwrap(place, one.wrapped, self._organisation, private))
            except VerificationError as error:
                failure = error
        if failure is not None and not found:
            raise failure
        return found

    def opened(self, envelope: bytes) -> bytes:
        """Return *envelope* with what is ours in clear; raises as `open_groups`, and for a key not held."""
        return open_groups(envelope, self.unwrap).envelope


class Seals:
    """Seals messages on their way; *files* say which groups and where our own keys are."""

    def __init__(
        self,
        organisation: str,
        files: SealingFiles,
        keys: OwnKeys,
        *,
        trust: TrustStore,
        published: Published,
        content: Content,
        scopes: Scopes,
        clock: Callable[[], datetime],
    ) -> None:
        self._organisation = organisation
        self._groups = files.groups
        self._own = keys
        self._opener = Opener(organisation, keys)
        self._trust = trust
        self._published = published
        self._content = content
        self._scopes = scopes
        #: What hand-offs show, which never changes.
        self._shows: dict[str, Scope] = {}
        self._clock = clock
        #: The key of each organisation, and when the bridge was asked for it.
        self._known: dict[str, tuple[PublicKey, datetime]] = {}
        self._openings: dict[str, _Opening] = {}
        self._lock = threading.Lock()

    def chooses(self, kind: Kind, group: Group) -> bool:
        """Return whether *group* is sealed in messages of *kind*."""
        return group in self._groups.get(kind, ())

    def ready(self, message: SealedMessage) -> bytes:
        """
        Return *message*'s envelope as it is pushed.

        Raises `ConfigurationError` where somebody whom it is sealed to has published no key, or we hold
        none; and as the bridge's answers do, which are asked for keys.
        """
        with self._lock:
            return self._ready(message)

    def _ready(self, message: SealedMessage) -> bytes:
        said = read_envelope(message.envelope).message
        if said is None or said.author != self._organisation:
            # Malformed, which the bridge says; or another's, which passes untouched.
            return message.envelope
        groups = {int(g) for g in self._groups.get(message.kind, ()) if g in said.groups}
        envelope = message.envelope
        if groups:
            others = {said.recipient} - {"", self._organisation}
            readers = [self._own_key(), *self._keys_of(others)]
            also = self._knowing(said, groups) if message.kind is Kind.SUPPLEMENT else {}
            envelope = seal_groups(envelope, groups, readers, also)
        if message.kind is Kind.OPEN_TICKET:
            all_keys = group_keys(message.envelope)
            kept = {group: all_keys[group] for group in groups if group in all_keys}
            self._remember(said.ticket_id, _Opening(digest=said.digest, keys=kept))
        if isinstance(said.act, Offer):
            envelope = self._handed_on(envelope, said, said.act)
        return envelope

    def _knowing(self, said: Message, groups: Collection[int]) -> dict[int, list[PublicKey]]:
        """Return by group who is shown it, besides the two sides, in *said*'s hand-off."""
        if said.classification is not Classification.ORDINARY:
            return {}
        scope = self._shows.get(said.handoff_id)
        if scope is None:
            found = self._scopes(said.ticket_id)
            if said.handoff_id not in found:
                raise NotFound(
                    _NO_HANDOFF.fill(handoff=said.handoff_id), handoff_id=said.handoff_id
                )
            if len(self._shows) >= _OPENINGS:
                self._shows.clear()
            scope = self._shows[said.handoff_id] = found[said.handoff_id]
        sides = {said.author, said.recipient}
        knowers = [
            (code, listed & {*groups}) for code, listed in scope.knowers if code not in sides
        ]
        keys = self._keys_found({code for code, shown in knowers if shown})
        return {
            group: [keys[code] for code, shown in knowers if group in shown and code in keys]
            for group in groups
        }

    def _handed_on(self, envelope: bytes, said: Message, offer: Offer) -> bytes:
        ticket_id, receiver = said.ticket_id, said.recipient
        # Who only may know is shown nothing of what is confidential.
        ordinary = said.classification is Classification.ORDINARY
        self._remember_scope(said.handoff_id, offer.scope)
        opening = self._opening(ticket_id)
        shown = {receiver: {*opening.keys} - offer.scope.withheld}
        for code, listed in offer.scope.knowers if ordinary else ():
            shown[code] = shown.get(code, set()) | ({*opening.keys} & listed)
        needed = {receiver} if shown[receiver] else set()
        readers = {key.organisation: key for key in self._keys_of(needed)}
        readers |= self._keys_found({code for code in shown if shown[code]} - {receiver})
        entries: list[tuple[int, WrappedKey]] = []
        for code, groups in shown.items():
            for group in sorted(groups) if code in readers else ():
                place = Place(digest=opening.digest, ticket_id=ticket_id, group=group)
                entries += key_to_offer(group, place, opening.keys[group], [readers[code]])
        return hand_on(envelope, opening.digest, entries) if entries else envelope

    def _opening(self, ticket_id: str) -> _Opening:
        """Return what is sealed of the ticket's opening; raises `NotFound` before the bridge has it."""
        known = self._openings.get(ticket_id)
        if known is not None:
            return known
        for raw in self._content(ticket_id):
            message = read_envelope(raw).message
            if message is not None and message.kind is Kind.OPEN_TICKET:
                keys = open_groups(raw, self._opener.unwrap).keys
                return self._remember(ticket_id, _Opening(digest=message.digest, keys=keys))
        raise NotFound(_NO_OPENING.fill(ticket=ticket_id), ticket_id=ticket_id)

    def _remember(self, ticket_id: str, opening: _Opening) -> _Opening:
        if len(self._openings) >= _OPENINGS:
            self._openings.clear()
        self._openings[ticket_id] = opening
        return opening

    def _remember_scope(self, handoff_id: str, scope: Scope) -> Scope:
        if len(self._shows) >= _OPENINGS:
            self._shows.clear()
        self._shows[handoff_id] = scope
        return scope

    def _own_key(self) -> PublicKey:
        key = self._own.current(self._clock())
        if key is None:
            raise ConfigurationError(_NONE_OF_OUR_OWN.fill(folder=self._own.folder))
        return key

    def _keys_found(self, organisations: Collection[str]) -> dict[str, PublicKey]:
        """
        Return the keys of those of *organisations* who have one.

        Who only may know and has none is shown digests: a third office's lapsed certificate must not hold up
        what the one who answers waits for.
        """
        others = self._asked(organisations)
        return {code: self._known[code][0] for code in others if code in self._known}

    def _asked(self, organisations: Collection[str]) -> list[str]:
        """Return the others of *organisations*, their keys asked for unless they are known."""
        now = self._clock()
        others = sorted({*organisations} - {self._organisation})
        self._learn([code for code in others if not self._remembers(code, now)], now)
        return others

    def _keys_of(self, organisations: Collection[str]) -> list[PublicKey]:
        """Return the key of each of *organisations*; raises `ConfigurationError` naming who has none."""
        others = self._asked(organisations)
        found = [] if len(others) == len({*organisations}) else [self._own_key()]
        for code in others:
            if code not in self._known:
                raise ConfigurationError(_NO_KEY.fill(organisation=code), organisation=code)
            found.append(self._known[code][0])
        return found

    def _remembers(self, code: str, now: datetime) -> bool:
        asked = self._known[code][1] if code in self._known else None
        return asked is not None and asked <= now < asked + REMEMBERED

    def _learn(self, codes: Sequence[str], now: datetime) -> None:
        """Ask what *codes* published, and remember of each the key in force that begins last."""
        if not codes:
            return
        newest: dict[str, VerifiedKey] = {}
        for raw in self._published(codes):
            key = verified(raw, self._trust, now)
            if key is None or key.public.organisation not in codes:
                continue
            before = newest.get(key.public.organisation)
            if before is None or before.begins <= key.begins:
                newest[key.public.organisation] = key
        for code in codes:
            self._known.pop(code, None)
        self._known |= {code: (key.public, now) for code, key in newest.items()}


#: The rule of the fault of what is sealed to a key that we do not hold: it comes again.
NOT_HELD = "sealed.key"
#: What keeps one message from being sealed and says nothing of the others or of the link.
ITS_OWN: tuple[type[ExchangeError], ...] = (ConfigurationError, VerificationError, NotFound)

_NOT_HELD = Text(
    en="It is sealed to the key {key}… that this gateway does not hold. Put that private key's file back "
    "into the folder that [sealing] keys names; it comes again and is opened then.",
    zh="此件封装所用公钥 {key}… 的私钥不在本网关。请将该私钥文件放回 [sealing] keys 所指文件夹，之后会重新送达并打开。",
)
_NONE_OF_OUR_OWN = Text(
    en="There is no sealing key of our own in {folder}. Make one: exchange sealing make",
    zh="{folder} 中没有本机构的封装密钥，请用 exchange sealing make 生成。",
)
_NO_KEY = Text(
    en="{organisation} has published no sealing key at the bridge that its signer vouches for now, so "
    "nothing can be sealed to it. The message waits. Ask it for one (exchange sealing make), or take "
    "the groups out of [sealing.groups].",
    zh="{organisation} 在网桥上没有当前有效且经其签名的封装公钥，无法向其封装，消息在此等候。"
    "请对方发布（exchange sealing make），或从 [sealing.groups] 中去掉有关字段组。",
)
_NO_HANDOFF = Text(
    en="The hand-off {handoff} is not at the bridge yet, so that it cannot be said who may know of it.",
    zh="移交 {handoff} 尚未到达网桥，暂无法确定知悉机构。",
)
_NO_OPENING = Text(
    en="The opening of ticket {ticket} is not at the bridge yet, so that its keys cannot be handed on.",
    zh="单 {ticket} 的开单消息尚未到达网桥，暂无法转交其密钥。",
)
