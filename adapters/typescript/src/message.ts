// Messages: from a platform's JSON line to a sealed envelope, and from a delivery to a checked record.
import { create, fromBinary, fromJson, toBinary, toJson, type DescMessage, type JsonObject, type JsonValue } from "@bufbuild/protobuf";
import { randomBytes } from "node:crypto";
import { FieldGroup } from "./gen/hotline/exchange/v1/common_pb.js";
import * as ticketGroups from "./gen/hotline/exchange/v1/groups_ticket_pb.js";
import * as workGroups from "./gen/hotline/exchange/v1/groups_work_pb.js";
import { EnvelopeSchema, HeaderSchema, SignatureSchema, type CertificateChain } from "./gen/hotline/exchange/v1/message_pb.js";
import { RefusalCode } from "./gen/hotline/exchange/v1/receipt_pb.js";
import { signerOf, type Trust } from "./proof.js";
import { derivedId, groupDigest, holds, leafHash, MESSAGE_TYPE, sha256, signBatch } from "./signing.js";
import type { Settings } from "./settings.js";

const MOVING = new Set("offer take return agree refuse rule result reopen close release".split(" "));

export const isMoving = (kind: string): boolean => MOVING.has(kind);

/** What a platform says: one JSON line, as the other adapters of this project read it. */
export interface Line {
  kind: string;
  ticket_id?: string;
  handoff_id?: string;
  recipient?: string;
  previous?: string;
  created: string;
  urgency?: string;
  marker?: string;
  classification?: string;
  message_id?: string;
  record?: string;
  revision?: string;
  act?: JsonObject;
  groups?: Record<string, JsonObject>;
}

/** A signed message: the same bytes for ever. */
export interface Sealed {
  messageId: string;
  kind: string;
  ticketId: string;
  handoffId: string;
  digest: string;
  envelope: string;
}

function groupSchema(name: string): DescMessage | undefined {
  const type = `${name.split("_").map((w) => w[0]!.toUpperCase() + w.slice(1)).join("")}GroupSchema`;
  const all = { ...ticketGroups, ...workGroups } as unknown as Record<string, DescMessage | undefined>;
  return all[type];
}

export function idOf(line: Line, organisation: string): string {
  if (line.message_id !== undefined) return line.message_id;
  if (line.record === undefined) throw new Error("'message_id' or 'record' is needed 须有其一");
  return derivedId(organisation, line.record, line.revision ?? "", line.kind);
}

/** Sign *lines* as one batch. Throws, naming what is wrong, for a line that cannot be encoded. */
export function seal(lines: Line[], settings: Settings): Sealed[] {
  const drafts = lines.map((line) => draft(line, settings.organisation));
  const headers = drafts.map((one) => one.header);
  const signatures = signBatch(MESSAGE_TYPE, headers, settings.signerKey, settings.keyId);
  return drafts.map((one, at) => ({
    messageId: one.messageId,
    kind: lines[at]!.kind,
    ticketId: lines[at]!.ticket_id ?? "",
    handoffId: lines[at]!.handoff_id ?? "",
    digest: leafHash(one.header).toString("hex"),
    envelope: Buffer.from(
      toBinary(
        EnvelopeSchema,
        create(EnvelopeSchema, {
          header: one.header,
          groups: one.groups,
          signature: create(SignatureSchema, signatures[at]!),
        }),
      ),
    ).toString("base64"),
  }));
}

export function draft(line: Line, organisation: string) {
  const groups = Object.entries(line.groups ?? {}).map(([name, fields]) => {
    const schema = groupSchema(name);
    if (schema === undefined) throw new Error(`there is no field group '${name}' 没有该字段组`);
    const group = FieldGroup[name.toUpperCase() as keyof typeof FieldGroup];
    return { group, salt: randomBytes(16), content: toBinary(schema, fromJson(schema, fields)) };
  });
  const messageId = idOf(line, organisation);
  const header = fromJson(HeaderSchema, {
    message_id: messageId,
    ticket_id: line.ticket_id ?? "",
    handoff_id: line.handoff_id ?? "",
    author: organisation,
    recipient: line.recipient ?? "",
    previous: Buffer.from(line.previous ?? "", "hex").toString("base64"),
    create_time: line.created,
    marker: `MARKER_${(line.marker ?? "actual").toUpperCase()}`,
    classification: `CLASSIFICATION_${(line.classification ?? "ordinary").toUpperCase()}`,
    urgency: `URGENCY_${(line.urgency ?? "routine").toUpperCase()}`,
    groups: groups.map((one) => ({
      group: one.group,
      digest: groupDigest(one.group, one.salt, one.content).toString("base64"),
    })),
    [line.kind]: line.act ?? {},
  } as JsonObject);
  return { messageId, groups, header: toBinary(HeaderSchema, header) };
}

/** What came, checked: who says what. */
export interface Incoming {
  messageId: string;
  kind: string;
  ticketId: string;
  handoffId: string;
  author: string;
  digest: Buffer;
  header: JsonValue;
  groups: Record<string, JsonValue>;
}

/** A message that does not hold what it claims, and how it is refused; without a code it is left. */
export class Unfit extends Error {
  constructor(
    readonly messageId: string,
    readonly digest: Buffer,
    readonly code: RefusalCode | undefined,
    why: string,
  ) {
    super(why);
  }
}

/** Take one delivery apart and check groups, signature, certificate and author; throws `Unfit`. */
export function open(
  raw: Uint8Array,
  chains: CertificateChain[],
  trust: Trust,
  organisation: string,
): Incoming {
  let id = "";
  let digest = leafHash(raw);
  const unfit = (code: RefusalCode | undefined, why: string) => new Unfit(id, digest, code, why);
  let envelope, header;
  try {
    envelope = fromBinary(EnvelopeSchema, raw);
    header = fromBinary(HeaderSchema, envelope.header);
  } catch {
    throw unfit(RefusalCode.MALFORMED, "no message of the contract");
  }
  id = header.messageId;
  digest = leafHash(envelope.header);
  if (header.act.case === undefined) throw unfit(RefusalCode.UNKNOWN_KIND, "unknown kind");
  const groups: Record<string, JsonValue> = {};
  for (const one of envelope.groups) {
    const bound = header.groups.find((found) => found.group === one.group);
    const found = groupDigest(one.group, one.salt, one.content);
    if (bound === undefined || Buffer.compare(bound.digest, found) !== 0) {
      throw unfit(RefusalCode.GROUP_DIGEST_MISMATCH, `group ${one.group} was changed`);
    }
    const name = FieldGroup[one.group]?.toLowerCase() ?? String(one.group);
    const schema = groupSchema(name);
    // A group that is not known yet is kept as it came.
    groups[name] =
      schema === undefined
        ? Buffer.from(one.content).toString("base64")
        : toJson(schema, fromBinary(schema, one.content), { useProtoFieldName: true });
  }
  const signature = envelope.signature;
  if (signature === undefined) throw unfit(RefusalCode.UNSIGNED, "no signature");
  const chain = chains.find(
    (one) => sha256(one.certificates[0] ?? Buffer.of()).compare(signature.keyId) === 0,
  );
  if (chain === undefined) throw unfit(undefined, "the signer's certificate did not come");
  let signer;
  try {
    signer = signerOf(chain.certificates, trust, new Date());
  } catch (why) {
    throw unfit(RefusalCode.SIGNER_NOT_TRUSTED, String(why));
  }
  if (signer === undefined) throw unfit(undefined, "the signer's network is not trusted here");
  if (!holds(MESSAGE_TYPE, envelope.header, signature, signer.key)) {
    throw unfit(RefusalCode.SIGNATURE_INVALID, "the signature does not hold");
  }
  if (signer.organisation !== header.author) {
    throw unfit(RefusalCode.AUTHOR_MISMATCH, `signed by ${signer.organisation}`);
  }
  if (header.recipient !== "" && header.recipient !== organisation) {
    throw unfit(RefusalCode.NOT_A_PARTY, "addressed to another");
  }
  const kind = HeaderSchema.fields.find((f) => f.localName === header.act.case)!.name;
  return {
    messageId: id,
    kind,
    ticketId: header.ticketId,
    handoffId: header.handoffId,
    author: header.author,
    digest,
    header: toJson(HeaderSchema, header, { useProtoFieldName: true }),
    groups,
  };
}
