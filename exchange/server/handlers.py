"""The contract's methods, each with the service's function that answers it and its two messages."""

from __future__ import annotations

from typing import Any

import grpc

from exchange._proto.v1 import attachment_service_pb2 as attachment_pb
from exchange._proto.v1 import directory_service_pb2 as directory_pb
from exchange._proto.v1 import exchange_service_pb2 as exchange_pb
from exchange._proto.v1 import ticket_service_pb2 as ticket_pb
from exchange._proto.v1 import witness_service_pb2 as witness_pb
from exchange.server.attaching import AttachmentService
from exchange.server.exchange_service import ExchangeService
from exchange.server.reading import DirectoryService, TicketService
from exchange.server.witnessing import WitnessService


def exchange_handlers(service: ExchangeService) -> grpc.GenericRpcHandler[Any, Any]:
    """Return the contract's methods of the exchange service."""
    return grpc.method_handlers_generic_handler(
        exchange_pb.DESCRIPTOR.services_by_name["ExchangeService"].full_name,
        {
            "PushMessages": _unary(
                service.push, exchange_pb.PushMessagesRequest, exchange_pb.PushMessagesResponse
            ),
            "PullMessages": _unary(
                service.pull, exchange_pb.PullMessagesRequest, exchange_pb.PullMessagesResponse
            ),
            "AcknowledgeMessages": _unary(
                service.acknowledge,
                exchange_pb.AcknowledgeMessagesRequest,
                exchange_pb.AcknowledgeMessagesResponse,
            ),
            "ReconcileHandoffs": _unary(
                service.reconcile,
                exchange_pb.ReconcileHandoffsRequest,
                exchange_pb.ReconcileHandoffsResponse,
            ),
        },
    )


def ticket_handlers(service: TicketService) -> grpc.GenericRpcHandler[Any, Any]:
    """Return the contract's methods of the ticket service."""
    return grpc.method_handlers_generic_handler(
        ticket_pb.DESCRIPTOR.services_by_name["TicketService"].full_name,
        {
            "GetTicket": _unary(
                service.get_ticket, ticket_pb.GetTicketRequest, ticket_pb.GetTicketResponse
            ),
            "ListTickets": _unary(
                service.list_tickets, ticket_pb.ListTicketsRequest, ticket_pb.ListTicketsResponse
            ),
            "GetTrail": _unary(
                service.get_trail, ticket_pb.GetTrailRequest, ticket_pb.GetTrailResponse
            ),
        },
    )


def directory_handlers(service: DirectoryService) -> grpc.GenericRpcHandler[Any, Any]:
    """Return the contract's methods of the directory."""
    return grpc.method_handlers_generic_handler(
        directory_pb.DESCRIPTOR.services_by_name["DirectoryService"].full_name,
        {
            "ListOrganisations": _unary(
                service.list_organisations,
                directory_pb.ListOrganisationsRequest,
                directory_pb.ListOrganisationsResponse,
            ),
            "ListRegions": _unary(
                service.list_regions,
                directory_pb.ListRegionsRequest,
                directory_pb.ListRegionsResponse,
            ),
            "ListMatters": _unary(
                service.list_matters,
                directory_pb.ListMattersRequest,
                directory_pb.ListMattersResponse,
            ),
            "GetProfile": _unary(
                service.get_profile, directory_pb.GetProfileRequest, directory_pb.GetProfileResponse
            ),
            "ListSealingKeys": _unary(
                service.list_sealing_keys,
                directory_pb.ListSealingKeysRequest,
                directory_pb.ListSealingKeysResponse,
            ),
            "ListActs": _unary(
                service.list_acts, directory_pb.ListActsRequest, directory_pb.ListActsResponse
            ),
        },
    )


def witness_handlers(service: WitnessService) -> grpc.GenericRpcHandler[Any, Any]:
    """Return the contract's methods for witnesses."""
    return grpc.method_handlers_generic_handler(
        witness_pb.DESCRIPTOR.services_by_name["WitnessService"].full_name,
        {
            "GetCheckpoint": _unary(
                service.get_checkpoint,
                witness_pb.GetCheckpointRequest,
                witness_pb.GetCheckpointResponse,
            ),
            "GetConsistencyProof": _unary(
                service.get_proof,
                witness_pb.GetConsistencyProofRequest,
                witness_pb.GetConsistencyProofResponse,
            ),
            "SubmitCosignature": _unary(
                service.submit,
                witness_pb.SubmitCosignatureRequest,
                witness_pb.SubmitCosignatureResponse,
            ),
            "GetCosignedProofs": _unary(
                service.get_proofs,
                witness_pb.GetCosignedProofsRequest,
                witness_pb.GetCosignedProofsResponse,
            ),
        },
    )


def attachment_handlers(service: AttachmentService) -> grpc.GenericRpcHandler[Any, Any]:
    """Return the contract's methods for attachments."""
    return grpc.method_handlers_generic_handler(
        attachment_pb.DESCRIPTOR.services_by_name["AttachmentService"].full_name,
        {
            "CheckAttachments": _unary(
                service.check,
                attachment_pb.CheckAttachmentsRequest,
                attachment_pb.CheckAttachmentsResponse,
            ),
            "PutChunks": _unary(
                service.put, attachment_pb.PutChunksRequest, attachment_pb.PutChunksResponse
            ),
            "GetChunks": _unary(
                service.get, attachment_pb.GetChunksRequest, attachment_pb.GetChunksResponse
            ),
        },
    )


def _unary(answer: Any, request: Any, response: Any) -> Any:
    return grpc.unary_unary_rpc_method_handler(
        answer,
        request_deserializer=request.FromString,
        response_serializer=response.SerializeToString,
    )
