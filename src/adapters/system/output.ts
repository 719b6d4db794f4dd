import type { Writable } from 'node:stream';

/** Text that may wait for a slow reader, in bytes; further lines are dropped. */
const WAITING_MAX = 1_048_576;

/** Where lines for people or log readers go. Writing never throws and never waits. */
export type Output = Readonly<{
  /** Writes text that ends with a line break. It is dropped when the reader has gone away, or reads too slowly. */
  write(text: string): void;
  /** How many texts were dropped so far. */
  dropped(): number;
}>;

/**
 * An output of this process, such as `process.stderr`, that does not affect the service. Node.js would end the process when the reader of a pipe has
 * gone away (EPIPE), and buffer without limit for a reader that has stopped.
 */
export function createOutput(stream: Writable): Output {
  let dropped = 0;
  // Also for what other code writes to the stream.
  stream.on('error', () => {});
  return {
    write(text) {
      if (stream.destroyed || stream.writableLength + text.length > WAITING_MAX) {
        dropped++;
        return;
      }
      stream.write(text, (error) => {
        if (error) dropped++;
      });
    },
    dropped: () => dropped,
  };
}
