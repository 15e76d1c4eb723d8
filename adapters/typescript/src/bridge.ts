// The calls to the bridge: mutual TLS, a deadline each; whatever fails is tried again by who calls.
import { create, fromBinary, toBinary, type DescMessage, type MessageShape } from "@bufbuild/protobuf";
import { Client, credentials } from "@grpc/grpc-js";
import * as pb from "./gen/hotline/exchange/v1/exchange_service_pb.js";
import { CertificateChainSchema } from "./gen/hotline/exchange/v1/message_pb.js";
import type { Settings } from "./settings.js";

const DEADLINE_MS = 4_000;

export class Bridge {
  private readonly client: Client;
  private readonly chain;

  constructor(settings: Settings) {
    const tls = credentials.createSsl(
      settings.bridgeRoots,
      settings.gatewayKey,
      settings.gatewayChain,
    );
    this.client = new Client(settings.target, tls, {
      "grpc.max_receive_message_length": 48 * 1024 * 1024,
      "grpc.enable_http_proxy": 0,
      "grpc.initial_reconnect_backoff_ms": 200,
      "grpc.max_reconnect_backoff_ms": 5_000,
    });
    this.chain = create(CertificateChainSchema, { certificates: settings.signerChain });
  }

  push(envelopes: Uint8Array[]) {
    const request = create(pb.PushMessagesRequestSchema, {
      envelopes,
      certificates: [this.chain],
    });
    return this.call("PushMessages", pb.PushMessagesRequestSchema, request, pb.PushMessagesResponseSchema);
  }

  pull(seconds: number) {
    const request = create(pb.PullMessagesRequestSchema, {
      maxDeliveries: 128,
      wait: { seconds: BigInt(seconds), nanos: 0 },
    });
    const longer = seconds * 1000;
    return this.call("PullMessages", pb.PullMessagesRequestSchema, request, pb.PullMessagesResponseSchema, longer);
  }

  acknowledge(acknowledgements: pb.Acknowledgement[]) {
    const request = create(pb.AcknowledgeMessagesRequestSchema, {
      acknowledgements,
      certificates: [this.chain],
    });
    return this.call("AcknowledgeMessages", pb.AcknowledgeMessagesRequestSchema, request, pb.AcknowledgeMessagesResponseSchema);
  }

  reconcile(heads: { handoffId: string; digest: Uint8Array }[]) {
    const request = create(pb.ReconcileHandoffsRequestSchema, {
      heads: heads.map((head) => create(pb.HandoffHeadSchema, head)),
    });
    return this.call("ReconcileHandoffs", pb.ReconcileHandoffsRequestSchema, request, pb.ReconcileHandoffsResponseSchema);
  }

  close(): void {
    this.client.close();
  }

  private call<I extends DescMessage, O extends DescMessage>(
    method: string,
    input: I,
    request: MessageShape<I>,
    output: O,
    longer = 0,
  ): Promise<MessageShape<O>> {
    const deadline = Date.now() + DEADLINE_MS + longer;
    return new Promise((resolve, reject) => {
      this.client.makeUnaryRequest(
        `/hotline.exchange.v1.ExchangeService/${method}`,
        (one: MessageShape<I>) => Buffer.from(toBinary(input, one)),
        (bytes: Buffer) => fromBinary(output, bytes),
        request,
        { deadline },
        (error, answer) => (error !== null ? reject(error) : resolve(answer!)),
      );
    });
  }
}
