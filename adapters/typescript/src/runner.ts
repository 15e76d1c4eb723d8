// The two loops: out (seal, push, settle) and in (pull, write, acknowledge). Neither ever gives up.
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { timestampNow } from "@bufbuild/protobuf/wkt";
import { setTimeout as sleep } from "node:timers/promises";
import { Bridge } from "./bridge.js";
import { Folder, type Decision } from "./folder.js";
import { AcknowledgementSchema, type Acknowledgement, type Delivery } from "./gen/hotline/exchange/v1/exchange_service_pb.js";
import { SignatureSchema, type CertificateChain } from "./gen/hotline/exchange/v1/message_pb.js";
import { ReceiptSchema, RefusalCode, RefusedStatementSchema, WrittenStatementSchema, type RefusedReceipt } from "./gen/hotline/exchange/v1/receipt_pb.js";
import { idOf, isMoving, open, seal, Unfit, type Incoming, type Line, type Sealed } from "./message.js";
import { provesStored, signerOf } from "./proof.js";
import { holds, REFUSED_TYPE, sha256, signBatch, WRITTEN_TYPE } from "./signing.js";
import type { Settings } from "./settings.js";

const BATCH = 128;
const PAUSE_MS = [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000];

export class Runner {
  private stopping = new AbortController();
  private readonly bridge: Bridge;

  constructor(
    private readonly settings: Settings,
    private readonly folder: Folder,
  ) {
    this.bridge = new Bridge(settings);
  }

  async run(): Promise<void> {
    await Promise.all([
      this.loop("push", () => this.out()),
      this.loop("pull", () => this.in()),
    ]);
  }

  stop(): void {
    this.stopping.abort();
    this.bridge.close();
  }

  /** Repeat *turn*; after a failure pause, longer after each. */
  private async loop(name: string, turn: () => Promise<boolean>): Promise<void> {
    let failures = 0;
    while (!this.stopping.signal.aborted) {
      let pause = 0;
      try {
        pause = (await turn()) ? 0 : PAUSE_MS[0]!;
        failures = 0;
      } catch (error) {
        if (this.stopping.signal.aborted) return;
        pause = PAUSE_MS[Math.min(failures++, PAUSE_MS.length - 1)]! * (0.5 + Math.random() / 2);
        process.stderr.write(`${new Date().toISOString()} ${name}: ${String(error)}\n`);
      }
      if (pause > 0) await sleep(pause, undefined, { signal: this.stopping.signal }).catch(() => {});
    }
  }

  // -- out

  /** Seal what was said, push what waits; return whether anything was decided. */
  private async out(): Promise<boolean> {
    for (const { file, lines } of this.folder.said()) {
      this.take(lines);
      this.folder.done(file);
    }
    const batch = this.folder.waiting().slice(0, BATCH);
    if (batch.length === 0) return false;
    const answer = await this.bridge.push(batch.map((one) => Buffer.from(one.envelope, "base64")));
    if (answer.outcomes.length !== batch.length) {
      throw new Error(`${answer.outcomes.length} outcomes for ${batch.length} messages`);
    }
    const decided: Decision[] = [];
    batch.forEach((one, at) => {
      const { outcome } = answer.outcomes[at]!;
      if (outcome.case === "stored") {
        // A receipt that proves nothing decides nothing: the message is pushed again.
        if (!provesStored(outcome.value, Buffer.from(one.digest, "hex"), this.settings.logs)) return;
        const receipt = create(ReceiptSchema, { receipt: { case: "stored", value: outcome.value } });
        decided.push(decision(one, "stored", "", toBinary(ReceiptSchema, receipt)));
      } else if (outcome.case === "refused") {
        const code = this.refusalOf(outcome.value, one.digest);
        if (code === undefined) return;
        const receipt = create(ReceiptSchema, { receipt: { case: "refused", value: outcome.value } });
        decided.push(decision(one, "refused", code, toBinary(ReceiptSchema, receipt)));
        decided.push(...this.dropped(one));
      }
    });
    this.folder.decided.append(decided);
    return decided.length > 0;
  }

  /** Sign *lines* and keep them; what cannot be encoded is set aside with its reason. */
  private take(lines: Line[]): void {
    let ready: Line[] = [];
    const keep = () => {
      this.folder.keep(seal(ready, this.settings));
      ready = [];
    };
    for (const line of lines) {
      try {
        const id = idOf(line, this.settings.organisation);
        const twice = ready.some((one) => idOf(one, this.settings.organisation) === id);
        if (twice || this.folder.holds(id)) continue;
        if (ready.length === BATCH || ready.some((one) => one.handoff_id === line.handoff_id)) keep();
        const whole = this.complete(line);
        seal([whole], this.settings); // throws where it cannot be encoded
        ready.push(whole);
      } catch (why) {
        const message_id = line.message_id ?? JSON.stringify(line);
        this.folder.decided.append([{ message_id, answer: "unfit", detail: String(why) }]);
      }
    }
    keep();
  }

  /** Fill in what the folder knows of a hand-off: the ticket, the other side, the predecessor. */
  private complete(line: Line): Line {
    const known = this.folder.heads.get(line.handoff_id ?? "");
    if (known === undefined) return line;
    const follows = isMoving(line.kind) && line.kind !== "offer" && line.previous === undefined;
    return {
      ...line,
      ticket_id: line.ticket_id ?? known.ticket,
      recipient: line.recipient ?? known.peer,
      ...(follows ? { previous: known.digest } : {}),
    };
  }

  /** The code of a refusal that the bridge's log key signed; undefined for anything else. */
  private refusalOf(receipt: RefusedReceipt, digest: string): string | undefined {
    const signature = receipt.signature;
    const log = this.settings.logs.find((one) => signature && one.keyId.equals(signature.keyId));
    if (!signature || !log || !holds(REFUSED_TYPE, receipt.statement, signature, log.key)) return;
    const said = fromBinary(RefusedStatementSchema, receipt.statement);
    if (Buffer.from(said.messageDigest).toString("hex") !== digest) return;
    const fields = said.violations.map((one) => `${one.field} (${one.rule})`).join(", ");
    return `${RefusalCode[said.code] ?? said.code} ${fields}`;
  }

  /** What waits and builds on a refused message can never be stored: it is not pushed for ever. */
  private dropped(refused: Sealed): Decision[] {
    const builds = (one: Sealed) =>
      refused.kind === "open_ticket"
        ? one.ticketId === refused.ticketId
        : isMoving(refused.kind) && one.handoffId === refused.handoffId && isMoving(one.kind);
    const waiting = this.folder.waiting();
    const after = waiting.slice(waiting.findIndex((one) => one.messageId === refused.messageId) + 1);
    return after
      .filter(builds)
      .map((one) => decision(one, "dropped", `${refused.messageId} was refused`));
  }

  // -- in

  private reconciled = false;

  private async in(): Promise<boolean> {
    if (!this.reconciled) await this.reconcile();
    const answer = await this.bridge.pull(2);
    await this.handle(answer.deliveries, answer.certificates);
    return true; // the next pull waits at the bridge
  }

  /** Let lanes go on that stand still since a message was refused: what was refused comes again. */
  private async reconcile(): Promise<void> {
    const lanes = [...new Set(this.folder.stopped.all.map((one) => one.lane))];
    for (let at = 0; at < lanes.length; at += 512) {
      const heads = lanes.slice(at, at + 512).map((lane) => ({
        handoffId: lane,
        digest: Buffer.from(this.folder.heads.get(lane)?.digest ?? "", "hex"),
      }));
      await this.bridge.reconcile(heads);
    }
    this.reconciled = true;
  }

  private async handle(deliveries: Delivery[], chains: CertificateChain[]): Promise<void> {
    const good: Incoming[] = [];
    const bad: Unfit[] = [];
    const positions: bigint[] = [];
    const receipts: object[] = [];
    const stopped = new Set<string>();
    for (const one of deliveries) {
      if (stopped.has(one.lane)) continue; // its lane keeps its order: it comes again
      if (one.content.case === "receipt") {
        if (!this.believes(one, chains)) continue;
        receipts.push({
          position: String(one.position),
          receipt: Buffer.from(toBinary(ReceiptSchema, one.content.value)).toString("base64"),
        });
        positions.push(one.position);
        continue;
      }
      const raw = one.content.value ?? new Uint8Array();
      try {
        good.push(open(raw, chains, this.settings.trust, this.settings.organisation));
      } catch (error) {
        stopped.add(one.lane);
        const unfit = error instanceof Unfit ? error : undefined;
        if (unfit?.code === undefined) {
          process.stderr.write(`left for later: ${String(error)}\n`);
          continue;
        }
        this.folder.stopped.append([{ lane: one.lane }]);
        bad.push(unfit);
      }
    }
    this.folder.receipts.append(receipts);
    const numbers = this.folder.write(good); // on the disk before anybody is told
    const said = [
      ...this.written(good, numbers),
      ...this.refused(bad),
      ...positions.map((position) =>
        create(AcknowledgementSchema, { acknowledgement: { case: "receiptPosition", value: position } }),
      ),
    ];
    // What is not recorded now comes again when its lease ends, and is acknowledged again.
    if (said.length > 0) await this.bridge.acknowledge(said);
  }

  private believes(one: Delivery, chains: CertificateChain[]): boolean {
    if (one.content.case !== "receipt" || one.content.value.receipt.case === "stored") return false;
    const { case: kind, value } = one.content.value.receipt;
    const signature = value?.signature;
    if (value === undefined || signature === undefined) return false;
    const type = kind === "written" ? WRITTEN_TYPE : REFUSED_TYPE;
    const log = this.settings.logs.find((found) => found.keyId.equals(signature.keyId));
    if (log !== undefined) return kind === "refused" && holds(type, value.statement, signature, log.key);
    const chain = chains.find((c) => sha256(c.certificates[0] ?? Buffer.of()).equals(signature.keyId));
    try {
      const signer = signerOf(chain?.certificates ?? [], this.settings.trust, new Date());
      const by =
        kind === "written"
          ? fromBinary(WrittenStatementSchema, value.statement).organisation
          : fromBinary(RefusedStatementSchema, value.statement).refusedBy;
      return signer?.organisation === by && holds(type, value.statement, signature, signer.key);
    } catch {
      return false;
    }
  }

  private written(messages: Incoming[], numbers: string[]): Acknowledgement[] {
    const statements = messages.map((one, at) =>
      toBinary(
        WrittenStatementSchema,
        create(WrittenStatementSchema, {
          messageId: one.messageId,
          messageDigest: one.digest,
          organisation: this.settings.organisation,
          writeTime: timestampNow(),
          localNumber: numbers[at]!,
        }),
      ),
    );
    return this.signed(WRITTEN_TYPE, "written", statements);
  }

  private refused(messages: Unfit[]): Acknowledgement[] {
    const statements = messages.map((one) =>
      toBinary(
        RefusedStatementSchema,
        create(RefusedStatementSchema, {
          messageId: one.messageId,
          messageDigest: one.digest,
          refusedBy: this.settings.organisation,
          code: one.code!,
          refuseTime: timestampNow(),
        }),
      ),
    );
    return this.signed(REFUSED_TYPE, "refused", statements);
  }

  private signed(type: string, kind: "written" | "refused", statements: Uint8Array[]) {
    const { signerKey, keyId } = this.settings;
    const signatures = signBatch(type, statements, signerKey, keyId);
    return statements.map((statement, at) => {
      const value = { statement, signature: create(SignatureSchema, signatures[at]!) };
      return create(AcknowledgementSchema, { acknowledgement: { case: kind, value } as never });
    });
  }
}

function decision(one: Sealed, answer: Decision["answer"], detail: string, receipt?: Uint8Array): Decision {
  const kept = receipt === undefined ? {} : { receipt: Buffer.from(receipt).toString("base64") };
  return { message_id: one.messageId, answer, detail, ...kept };
}
