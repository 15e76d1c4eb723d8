// The platform: a folder of JSON lines, each line whole and durable before anybody is told.
import { closeSync, existsSync, fsyncSync, ftruncateSync, mkdirSync, openSync, readdirSync, readFileSync, renameSync, unlinkSync, writeSync } from "node:fs";
import { join } from "node:path";
import { isMoving, type Incoming, type Line, type Sealed } from "./message.js";

/** A file of JSON lines that is only appended to. A half-written last line is cut off at the start. */
export class Lines<T> {
  readonly all: T[] = [];
  private readonly file: number;

  constructor(path: string) {
    const text = existsSync(path) ? readFileSync(path) : Buffer.of();
    const whole = text.lastIndexOf(10) + 1;
    this.file = openSync(path, existsSync(path) ? "r+" : "w+");
    ftruncateSync(this.file, whole);
    this.end = whole;
    for (const line of text.subarray(0, whole).toString().split("\n")) {
      if (line !== "") this.all.push(JSON.parse(line) as T);
    }
  }

  private end: number;

  /** Append *values*; when this returns, they are on the disk. */
  append(values: T[]): void {
    if (values.length === 0) return;
    const bytes = Buffer.from(values.map((value) => `${JSON.stringify(value)}\n`).join(""));
    for (let done = 0; done < bytes.length; ) {
      done += writeSync(this.file, bytes, done, bytes.length - done, this.end + done);
    }
    fsyncSync(this.file);
    this.end += bytes.length;
    this.all.push(...values);
  }
}

/** One message that was written: its id stands in the same line as the record. */
export interface Record_ {
  message_id: string;
  local_number: string;
  kind: string;
  ticket_id: string;
  handoff_id: string;
  author: string;
  digest: string;
  header: unknown;
  groups: unknown;
}

export interface Decision {
  message_id: string;
  answer: "stored" | "refused" | "dropped" | "unfit";
  detail: string;
  receipt?: string;
}

export class Folder {
  readonly records: Lines<Record_>;
  readonly outbox: Lines<Sealed>;
  readonly decided: Lines<Decision>;
  readonly receipts: Lines<object>;
  readonly stopped: Lines<{ lane: string }>;
  private readonly byId = new Map<string, string>();
  /** Of each hand-off its newest state-moving message and who is on the other side. */
  readonly heads = new Map<string, { digest: string; peer: string; ticket: string }>();

  constructor(private readonly path: string) {
    mkdirSync(join(path, "said"), { recursive: true });
    const lines = <T>(name: string) => new Lines<T>(join(path, `${name}.jsonl`));
    this.records = lines("records");
    this.outbox = lines("outbox");
    this.decided = lines("decided");
    this.receipts = lines("receipts");
    this.stopped = lines("stopped");
    for (const one of this.records.all) this.remember(one);
    for (const one of this.outbox.all) this.moved(one.kind, one.handoffId, one.digest);
  }

  /** Write what came, all of it in one append; return each message's number, old or new. */
  write(messages: Incoming[]): string[] {
    const fresh = new Map<string, Record_>();
    for (const one of messages) {
      if (this.byId.has(one.messageId) || fresh.has(one.messageId)) continue;
      fresh.set(one.messageId, {
        message_id: one.messageId,
        local_number: `T-${String(this.byId.size + fresh.size + 1).padStart(8, "0")}`,
        kind: one.kind,
        ticket_id: one.ticketId,
        handoff_id: one.handoffId,
        author: one.author,
        digest: one.digest.toString("hex"),
        header: one.header,
        groups: one.groups,
      });
    }
    this.records.append([...fresh.values()]);
    for (const one of fresh.values()) this.remember(one);
    return messages.map((one) => this.byId.get(one.messageId)!);
  }

  private remember(one: Record_): void {
    this.byId.set(one.message_id, one.local_number);
    this.moved(one.kind, one.handoff_id, one.digest, one.author, one.ticket_id);
  }

  private moved(kind: string, handoff: string, digest: string, peer = "", ticket = ""): void {
    const known = this.heads.get(handoff);
    if (handoff === "" || (known === undefined && peer === "")) return;
    this.heads.set(handoff, {
      digest: isMoving(kind) ? digest : (known?.digest ?? ""),
      peer: known?.peer ?? peer,
      ticket: known?.ticket ?? ticket,
    });
  }

  /** Keep signed messages; from here on they are sent until they are decided. */
  keep(sealed: Sealed[]): void {
    this.outbox.append(sealed);
    for (const one of sealed) this.moved(one.kind, one.handoffId, one.digest);
  }

  /** What is signed and not decided, in the order in which it was said. */
  waiting(): Sealed[] {
    const decided = new Set(this.decided.all.map((one) => one.message_id));
    return this.outbox.all.filter((one) => !decided.has(one.messageId));
  }

  holds(id: string): boolean {
    return (
      this.outbox.all.some((one) => one.messageId === id) ||
      this.decided.all.some((one) => one.message_id === id)
    );
  }

  /** The files of lines that the platform has said and that are not sealed yet. */
  said(): { file: string; lines: Line[] }[] {
    const folder = join(this.path, "said");
    return readdirSync(folder)
      .filter((name) => name.endsWith(".jsonl"))
      .sort()
      .map((name) => ({
        file: join(folder, name),
        lines: readFileSync(join(folder, name), "utf8")
          .split("\n")
          .filter((line) => line.trim() !== "")
          .map((line) => JSON.parse(line) as Line),
      }));
  }

  done(file: string): void {
    unlinkSync(file);
  }
}

/** Put what a platform says into the folder, whole and durable under its name when this returns. */
export function say(path: string, text: string): void {
  const folder = join(path, "said");
  mkdirSync(folder, { recursive: true });
  for (const line of text.split("\n")) if (line.trim() !== "") JSON.parse(line);
  const name = `${String(Date.now()).padStart(15, "0")}-${process.hrtime.bigint()}-${process.pid}`;
  const part = join(folder, `.${name}.part`);
  const file = openSync(part, "w");
  writeSync(file, text);
  fsyncSync(file);
  closeSync(file);
  renameSync(part, join(folder, `${name}.jsonl`));
  const handle = openSync(folder, "r");
  fsyncSync(handle);
  closeSync(handle);
}
