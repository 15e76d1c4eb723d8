"""Reading the directory: which codes and rules hold at this bridge."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import grpc

from exchange._proto.v1 import common_pb2 as common_pb
from exchange._proto.v1 import directory_service_pb2 as pb
from exchange._proto.v1.directory_service_pb2_grpc import DirectoryServiceStub
from exchange.client.calls import Calls
from exchange.views import EnteredAct
from exchange.wire.directory import act_of


class Directory:
    """The directory's calls; lists are yielded page by page."""

    def __init__(self, channel: grpc.Channel, call: Calls) -> None:
        self._call = call
        self._stub = DirectoryServiceStub(channel)

    def organisations(self, region: str = "", matter: str = "") -> Iterator[pb.Organisation]:
        """
        Yield the organisations of *region* and below, of everywhere where it is empty.

        With *matter* only those that the register says are responsible for it.
        """
        request = pb.ListOrganisationsRequest(region=region, matter=matter, page_size=1000)
        while True:
            page = self._call(self._stub.ListOrganisations, request)
            yield from page.organisations
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def regions(self, parent: str = "") -> Iterator[common_pb.RegionRef]:
        """Yield the divisions directly below *parent*; the provinces where it is empty."""
        request = pb.ListRegionsRequest(parent=parent, page_size=1000)
        while True:
            page = self._call(self._stub.ListRegions, request)
            yield from page.regions
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def matters(self, words: str = "") -> Iterator[pb.Matter]:
        """Yield the matters that fit *words*, best first; all where it is empty."""
        request = pb.ListMattersRequest(words=words, page_size=1000)
        while True:
            page = self._call(self._stub.ListMatters, request)
            yield from page.matters
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def acts(self, source: str = "") -> Iterator[EnteredAct]:
        """
        Yield what authorities and bridges did, oldest first, of *source* alone or of all.

        Nothing is verified here: each brings its proof (``proof.verify``) and its signed line.
        """
        request = pb.ListActsRequest(source=source, page_size=500)
        while True:
            page = self._call(self._stub.ListActs, request)
            yield from map(act_of, page.acts)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def sealing_keys(self, organisations: Collection[str]) -> Iterator[bytes]:
        """Yield the sealing keys that *organisations* published, signed and not verified yet."""
        codes = sorted(organisations)
        for start in range(0, len(codes), 100):
            request = pb.ListSealingKeysRequest(organisations=codes[start : start + 100])
            for key in self._call(self._stub.ListSealingKeys, request).keys:
                yield key.SerializeToString()

    def profile(self, name: str = "") -> pb.GetProfileResponse:
        """Return one profile, the bridge's default where *name* is empty; raises `NotFound`."""
        return self._call(self._stub.GetProfile, pb.GetProfileRequest(name=name))
