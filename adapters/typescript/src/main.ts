// node dist/main.js run|say|records FOLDER [--config gateway.toml]
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Folder, say, type Record_ } from "./folder.js";
import { Runner } from "./runner.js";
import { readSettings } from "./settings.js";

const USAGE = `node dist/main.js run FOLDER --config gateway.toml   link the folder to the bridge 运行
node dist/main.js say FOLDER < lines.jsonl           what the platform says, one message a line 发出
node dist/main.js records FOLDER                     what was written, as JSON lines 已写入的记录
`;

async function main(): Promise<number> {
  const [command, folder, flag, config] = process.argv.slice(2);
  if (folder !== undefined && command === "run" && flag === "--config" && config !== undefined) {
    const runner = new Runner(readSettings(config), new Folder(folder));
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => runner.stop());
    await runner.run();
    return 0;
  }
  if (folder !== undefined && command === "say") {
    say(folder, readFileSync(0, "utf8"));
    return 0;
  }
  if (folder !== undefined && command === "records") {
    const path = join(folder, "records.jsonl");
    // Read only: the program that runs may be writing its last line.
    const text = existsSync(path) ? readFileSync(path, "utf8") : "";
    for (const line of text.slice(0, text.lastIndexOf("\n") + 1).split("\n")) {
      if (line === "") continue;
      const { message_id, local_number } = JSON.parse(line) as Record_;
      process.stdout.write(`${JSON.stringify({ message_id, local_number })}\n`);
    }
    return 0;
  }
  process.stderr.write(USAGE);
  return 2;
}

main().then(
  (code) => (process.exitCode = code),
  (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  },
);
