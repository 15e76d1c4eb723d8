// Who signed, and whether the log holds it: certificates, C2SP checkpoints, inclusion proofs.
import { createPublicKey, verify, X509Certificate, type KeyObject } from "node:crypto";
import type { StoredReceipt } from "./gen/hotline/exchange/v1/receipt_pb.js";
import { leafHash, rootFromPath, sha256 } from "./signing.js";

const SIGNER_USAGE = "2.25.98568447353177642693997237057153466335";
const ED25519_SPKI = Buffer.from("302a300506032b6570032100", "hex");
const NAME = /^URI:spiffe:\/\/([^/]+)\/region\/\d{6}\/org\/([0-9A-Z]{12,18})\/signer\/\d+$/;

export interface Log {
  name: string;
  /** The first four bytes of a signature line. */
  hash: Buffer;
  key: KeyObject;
  keyId: Buffer;
}

/** A log's verifier key, as C2SP signed-note writes it: name+hash+base64. */
export function readLog(line: string): Log {
  const [name, hash, ...rest] = line.trim().split("+");
  const raw = Buffer.from(rest.join("+"), "base64").subarray(1);
  const spki = Buffer.concat([ED25519_SPKI, raw]);
  const key = createPublicKey({ key: spki, format: "der", type: "spki" });
  return { name: name!, hash: Buffer.from(hash!, "hex"), key, keyId: sha256(spki) };
}

/** A checkpoint's size and root, once its own log's signature holds. */
export function openCheckpoint(
  note: string,
  logs: Log[],
): { name: string; size: bigint; root: Buffer } | undefined {
  const cut = note.lastIndexOf("\n\n");
  if (cut < 0) return undefined;
  const text = note.slice(0, cut + 1);
  const [name, size, root] = text.split("\n");
  const log = logs.find((one) => one.name === name);
  if (log === undefined || !/^(0|[1-9]\d*)$/.test(size ?? "")) return undefined;
  for (const line of note.slice(cut + 2).split("\n")) {
    const [dash, who, value] = line.split(" ");
    const bytes = Buffer.from(value ?? "", "base64");
    if (dash !== "—" || who !== name || bytes.toString("base64") !== value) continue;
    if (!bytes.subarray(0, 4).equals(log.hash)) continue;
    if (verify(null, Buffer.from(text), log.key, bytes.subarray(4))) {
      return { name: log.name, size: BigInt(size!), root: Buffer.from(root!, "base64") };
    }
  }
  return undefined;
}

/** Whether a stored receipt proves that the message with *digest* is in a log we trust. */
export function provesStored(receipt: StoredReceipt, digest: Uint8Array, logs: Log[]): boolean {
  const checkpoint = openCheckpoint(receipt.checkpoint, logs);
  const time = receipt.acceptTime;
  if (checkpoint === undefined || time === undefined) return false;
  if (Buffer.compare(receipt.messageDigest, digest) !== 0) return false;
  const micros = Buffer.alloc(8);
  micros.writeBigUInt64BE(time.seconds * 1_000_000n + BigInt(Math.floor(time.nanos / 1000)));
  // Version 1, kind 1 (a message), its digest, when it was accepted: 42 bytes.
  const leaf = Buffer.concat([Uint8Array.of(1, 1), digest, micros]);
  const root = rootFromPath(leafHash(leaf), receipt.leafIndex, checkpoint.size, receipt.path);
  return root !== undefined && root.equals(checkpoint.root);
}

export interface Signer {
  organisation: string;
  key: KeyObject;
}

/** The trusted roots, network by network: never pooled. */
export type Trust = Map<string, X509Certificate[]>;

/**
 * Who signs with the first of *chain* (DER, leaf first).
 *
 * `undefined` where our own settings know no such network: then it is no fault of the author's.
 * Throws where the certificate does not hold.
 */
export function signerOf(chain: Uint8Array[], trust: Trust, at: Date): Signer | undefined {
  const [leaf, ...issuers] = chain.map((der) => new X509Certificate(der));
  const names = (leaf!.subjectAltName ?? "").split(", ");
  const found = names.length === 1 ? NAME.exec(names[0]!) : null;
  if (found === null) throw new Error("the certificate names no signer");
  const roots = trust.get(found[1]!);
  if (roots === undefined) return undefined;
  // Node calls the extended key usages so.
  const usages = leaf!.keyUsage ?? [];
  if (usages.length !== 1 || usages[0] !== SIGNER_USAGE) throw new Error("it may not sign messages");
  let one = leaf!;
  for (let step = 0; step < 4; step++) {
    if (at < new Date(one.validFrom) || at > new Date(one.validTo)) throw new Error("it has expired");
    const root = roots.find((root) => issued(one, root));
    if (root !== undefined) {
      if (at > new Date(root.validTo)) throw new Error("its root has expired");
      return { organisation: found[2]!, key: leaf!.publicKey };
    }
    const next = issuers.find((issuer) => issuer.ca && issued(one, issuer));
    if (next === undefined) break;
    one = next;
  }
  throw new Error("no root of its network vouches for it");
}

function issued(one: X509Certificate, by: X509Certificate): boolean {
  return one.checkIssued(by) && one.verify(by.publicKey);
}
