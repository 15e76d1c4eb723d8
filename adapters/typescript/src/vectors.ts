// node dist/vectors.js DIR: recompute the golden vectors; what differs is named.
import { createPublicKey, type KeyObject } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fromBinary } from "@bufbuild/protobuf";
import { EnvelopeSchema, HeaderSchema } from "./gen/hotline/exchange/v1/message_pb.js";
import { ReceiptSchema } from "./gen/hotline/exchange/v1/receipt_pb.js";
import { provesStored, readLog } from "./proof.js";
import { derivedId, groupDigest, holds, leafHash, MESSAGE_TYPE } from "./signing.js";

const folder = process.argv[2] ?? "../../proto/vectors";
const told = (name: string) => JSON.parse(readFileSync(join(folder, `${name}.json`), "utf8"));
const hex = (text: string) => Buffer.from(text, "hex");
const wrong: string[] = [];
let count = 0;

function same(what: string, wanted: string, found: string): void {
  count += 1;
  if (wanted !== found) wrong.push(`${what}: ${found}, should be ${wanted}`);
}

const keys = told("keys");
const authors = new Map<string, KeyObject>();
for (const one of keys.authors) {
  authors.set(one.key_id, createPublicKey({ key: hex(one.spki), format: "der", type: "spki" }));
}
for (const one of told("digests").group_digests) {
  same("group digest", one.digest, groupDigest(one.group, hex(one.salt), hex(one.content)).toString("hex"));
}
for (const one of told("digests").message_digests) {
  same("message digest", one.digest, leafHash(hex(one.bytes)).toString("hex"));
}
for (const one of told("digests").derived_ids) same("derived id", one.id, derivedId(...one.parts));
for (const kind of ["messages", "batch"]) {
  for (const file of readdirSync(join(folder, kind)).filter((name) => name.endsWith(".binpb"))) {
    const envelope = fromBinary(EnvelopeSchema, readFileSync(join(folder, kind, file)));
    const header = fromBinary(HeaderSchema, envelope.header);
    for (const one of envelope.groups) {
      const bound = header.groups.find((found) => found.group === one.group)!;
      const digest = groupDigest(one.group, one.salt, one.content).toString("hex");
      same(`${kind}/${file} group ${one.group}`, Buffer.from(bound.digest).toString("hex"), digest);
    }
    const signature = envelope.signature!;
    const key = authors.get(Buffer.from(signature.keyId).toString("hex"))!;
    same(`${kind}/${file} signature`, "true", String(holds(MESSAGE_TYPE, envelope.header, signature, key)));
  }
}
const stored = fromBinary(ReceiptSchema, readFileSync(join(folder, "receipts", "stored.binpb")));
if (stored.receipt.case === "stored") {
  const digest = hex(told("messages/offer").message_digest);
  const proved = provesStored(stored.receipt.value, digest, [readLog(keys.log.verifier_key)]);
  same("receipts/stored", "true", String(proved));
}
for (const line of wrong) process.stderr.write(`${line}\n`);
process.stdout.write(`${count - wrong.length} of ${count} vectors hold\n`);
process.exitCode = wrong.length > 0 || count < 30 ? 1 : 0;
