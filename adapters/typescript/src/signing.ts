// The bytes that are signed, as proto/SIGNING.md walks through them. Nothing here is re-encoded.
import { createHash, createPrivateKey, sign, verify, type KeyObject } from "node:crypto";

export const MESSAGE_TYPE = "application/vnd.hotline-exchange.message.v1";
export const WRITTEN_TYPE = "application/vnd.hotline-exchange.written.v1";
export const REFUSED_TYPE = "application/vnd.hotline-exchange.refused.v1";

export function sha256(...parts: Uint8Array[]): Buffer {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest();
}

function number(value: number, bytes: number): Buffer {
  const found = Buffer.alloc(bytes);
  if (bytes === 8) found.writeBigUInt64BE(BigInt(value));
  else found.writeUIntBE(value, 0, bytes);
  return found;
}

/** The digest by which a header binds a field group. */
export function groupDigest(group: number, salt: Uint8Array, content: Uint8Array): Buffer {
  return sha256(
    Buffer.from("hotline-exchange/group/v1"),
    number(group, 4),
    number(salt.length, 1),
    salt,
    number(content.length, 8),
    content,
  );
}

/** A message's digest: the RFC 9162 leaf hash of its exact header bytes. */
export function leafHash(data: Uint8Array): Buffer {
  return sha256(Uint8Array.of(0), data);
}

function nodeHash(left: Uint8Array, right: Uint8Array): Buffer {
  return sha256(Uint8Array.of(1), left, right);
}

/** The largest power of two below n (RFC 9162 2.1.1). */
function split(n: number): number {
  let k = 1;
  while (k * 2 < n) k *= 2;
  return k;
}

export function treeRoot(leaves: Uint8Array[]): Buffer {
  if (leaves.length === 1) return Buffer.from(leaves[0]!);
  const k = split(leaves.length);
  return nodeHash(treeRoot(leaves.slice(0, k)), treeRoot(leaves.slice(k)));
}

/** The inclusion path of one leaf, leaf side first. */
export function treePath(index: number, leaves: Uint8Array[]): Buffer[] {
  if (leaves.length === 1) return [];
  const k = split(leaves.length);
  return index < k
    ? [...treePath(index, leaves.slice(0, k)), treeRoot(leaves.slice(k))]
    : [...treePath(index - k, leaves.slice(k)), treeRoot(leaves.slice(0, k))];
}

/** The root that a leaf and its path lead to; undefined where the path has not the tree's length. */
export function rootFromPath(
  leaf: Uint8Array,
  index: bigint,
  size: bigint,
  path: Uint8Array[],
): Buffer | undefined {
  if (index >= size) return undefined;
  let [place, last] = [index, size - 1n];
  let root: Buffer = Buffer.from(leaf);
  for (const step of path) {
    if (last === 0n) return undefined;
    if (place & 1n || place === last) {
      root = nodeHash(step, root);
      while (!(place & 1n) && place !== 0n) [place, last] = [place >> 1n, last >> 1n];
    } else {
      root = nodeHash(root, step);
    }
    [place, last] = [place >> 1n, last >> 1n];
  }
  return last === 0n ? root : undefined;
}

/** What a key signs: the DSSE pre-authentication encoding of the batch's size and root. */
export function signedBytes(type: string, size: number, root: Uint8Array): Buffer {
  const body = Buffer.concat([number(size, 8), root]);
  return Buffer.concat([
    Buffer.from(`DSSEv1 ${Buffer.byteLength(type)} ${type} ${body.length} `),
    body,
  ]);
}

export interface BatchSignature {
  suite: string;
  keyId: Uint8Array;
  value: Uint8Array;
  batchSize: number;
  batchIndex: number;
  path: Uint8Array[];
}

/** Sign several payloads as one batch: one signature, and each payload's path to the root. */
export function signBatch(
  type: string,
  payloads: Uint8Array[],
  key: KeyObject,
  keyId: Uint8Array,
): BatchSignature[] {
  if (payloads.length === 0) return [];
  const leaves = payloads.map(leafHash);
  const data = signedBytes(type, leaves.length, treeRoot(leaves));
  const value = sign("sha256", data, { key, dsaEncoding: "ieee-p1363" });
  return leaves.map((_, index) => ({
    suite: "p256-sha256",
    keyId,
    value,
    batchSize: leaves.length,
    batchIndex: index,
    path: treePath(index, leaves),
  }));
}

/** Whether *key* signed *payload* as *type*. */
export function holds(
  type: string,
  payload: Uint8Array,
  signature: BatchSignature,
  key: KeyObject,
): boolean {
  const size = signature.batchSize;
  if (size < 1 || size > 4096 || signature.value.length !== 64) return false;
  const root = rootFromPath(
    leafHash(payload),
    BigInt(signature.batchIndex),
    BigInt(size),
    signature.path,
  );
  if (root === undefined) return false;
  const data = signedBytes(type, size, root);
  if (signature.suite === "p256-sha256" && key.asymmetricKeyType === "ec") {
    return verify("sha256", data, { key, dsaEncoding: "ieee-p1363" }, signature.value);
  }
  return signature.suite === "ed25519" && key.asymmetricKeyType === "ed25519"
    ? verify(null, data, key, signature.value)
    : false;
}

/** An id that follows from its parts (a UUID of version 8), so that a repeat is the same message. */
export function derivedId(...parts: (string | Uint8Array)[]): string {
  const bytes = parts.map((part) => Buffer.from(part as string));
  const whole = bytes.flatMap((part) => [number(part.length, 8), part]);
  const id = sha256(...whole).subarray(0, 16);
  id[6] = (id[6]! & 15) | 128;
  id[8] = (id[8]! & 63) | 128;
  const hex = id.toString("hex");
  return [0, 8, 12, 16, 20].map((at, n) => hex.slice(at, [8, 12, 16, 20, 32][n])).join("-");
}

export function readPrivateKey(pem: Buffer): KeyObject {
  return createPrivateKey(pem);
}
