// A gateway's configuration: the same TOML file that `exchange push` and the Python adapters read.
import { createHash, X509Certificate, type KeyObject } from "node:crypto";
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { readLog, type Log, type Trust } from "./proof.js";
import { readPrivateKey } from "./signing.js";

export interface Settings {
  target: string;
  organisation: string;
  bridgeRoots: Buffer;
  gatewayKey: Buffer;
  gatewayChain: Buffer;
  signerKey: KeyObject;
  /** DER, leaf first. */
  signerChain: Uint8Array[];
  keyId: Buffer;
  logs: Log[];
  trust: Trust;
}

/** The file needs no more of TOML than strings, lists of strings and one table. */
function parse(text: string): Map<string, string | string[]> {
  const found = new Map<string, string | string[]>();
  let table = "";
  text.split("\n").forEach((raw, at) => {
    const line = raw.trim();
    if (line === "" || line.startsWith("#")) return;
    const head = /^\[([a-z_]+)\]$/.exec(line);
    if (head !== null) {
      table = `${head[1]}.`;
      return;
    }
    const pair = /^("[^"]+"|[A-Za-z_]+)\s*=\s*(.+)$/.exec(line);
    if (pair === null) throw new Error(`line ${at + 1} is not KEY = VALUE 格式应为 键 = 值: ${line}`);
    found.set(table + pair[1]!.replaceAll('"', ""), JSON.parse(pair[2]!) as string | string[]);
  });
  return found;
}

export function readSettings(path: string): Settings {
  const folder = dirname(resolve(path));
  const table = parse(readFileSync(path, "utf8"));
  const text = (key: string): string => {
    const value = table.get(key);
    if (typeof value !== "string") throw new Error(`${path}: '${key}' is missing 缺少该键`);
    return value;
  };
  const file = (key: string): Buffer => readFileSync(resolve(folder, text(key)));
  const chain = certificates(file("signer_chain"));
  const trust: Trust = new Map();
  for (const [key, value] of table) {
    if (key.startsWith("trust.")) {
      const roots = certificates(readFileSync(resolve(folder, value as string)));
      trust.set(key.slice(6), roots.map((der) => new X509Certificate(der)));
    }
  }
  const logs = table.get("log_verifiers") ?? [];
  return {
    target: text("target"),
    organisation: text("organisation"),
    bridgeRoots: file("bridge_roots"),
    gatewayKey: file("gateway_key"),
    gatewayChain: file("gateway_chain"),
    signerKey: readPrivateKey(file("signer_key")),
    signerChain: chain,
    keyId: createHash("sha256").update(chain[0]!).digest(),
    logs: [logs].flat().map((one) => readLog(readFileSync(resolve(folder, one), "utf8"))),
    trust,
  };
}

function certificates(pem: Buffer): Uint8Array[] {
  const blocks = pem.toString().match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g);
  return (blocks ?? []).map((block) => new X509Certificate(block).raw);
}
