import { closeSync, existsSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs';

/** The events of one append. Bytes are base64. */
export type Appended = Readonly<{
  stream: string;
  /** ms since the epoch. */
  created: number;
  events: readonly Readonly<{ id: string; type: string; isJson: boolean; data: string; metadata: string }>[];
}>;

/** An append, or a scavenge: the offsets of the records that it removed. */
export type Entry = Appended | Readonly<{ scavenged: readonly number[] }>;

/** A file of appends and scavenges, one line each: after a crash, the server still has everything that it had acknowledged. */
export class Journal {
  readonly #file: number;

  /** Opens or creates the file and replays its entries. An incomplete last line was never acknowledged, and is removed. */
  constructor(path: string, replay: (entry: Entry) => void) {
    const content = existsSync(path) ? readFileSync(path) : Buffer.alloc(0);
    const whole = content.lastIndexOf('\n') + 1;
    for (const line of content.toString('utf8', 0, whole).split('\n'))
      if (line !== '') replay(JSON.parse(line) as Entry);
    this.#file = openSync(path, 'a');
    ftruncateSync(this.#file, whole);
  }

  write(entry: Entry): void {
    writeSync(this.#file, `${JSON.stringify(entry)}\n`);
  }

  close(): void {
    closeSync(this.#file);
  }
}
