import { closeSync, existsSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs';

/** What one append wrote. Bytes are base64. */
export type Entry = Readonly<{
  stream: string;
  /** ms since the epoch. */
  created: number;
  events: readonly Readonly<{ id: string; type: string; isJson: boolean; data: string; metadata: string }>[];
}>;

/** A file of appends, one line each, so that a server that was killed has after its restart what it had acknowledged. */
export class Journal {
  readonly #file: number;

  private constructor(file: number) {
    this.#file = file;
  }

  /** Opens the file, made when it is missing, and hands over what is in it. A last line that was cut short was never acknowledged, and goes. */
  static open(path: string, replay: (entry: Entry) => void): Journal {
    const content = existsSync(path) ? readFileSync(path) : Buffer.alloc(0);
    const whole = content.lastIndexOf('\n') + 1;
    for (const line of content.toString('utf8', 0, whole).split('\n'))
      if (line !== '') replay(JSON.parse(line) as Entry);
    const file = openSync(path, 'a');
    ftruncateSync(file, whole);
    return new Journal(file);
  }

  write(entry: Entry): void {
    writeSync(this.#file, `${JSON.stringify(entry)}\n`);
  }

  close(): void {
    closeSync(this.#file);
  }
}
