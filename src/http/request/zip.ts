import { Readable } from 'node:stream';
import { ZipFile } from 'yazl';

/** One file of an archive. Its content is made when its turn has come, and as fast as the reader takes it. */
export type ZipEntry = Readonly<{ name: string; content: () => AsyncIterable<string> }>;

/**
 * A zip archive of these files as a stream. Nothing is read ahead beyond the buffers of the streams. A failure destroys it, so that the reader notices that
 * the archive is not complete; destroying it ends the content in progress.
 * @param modifiedAt time of the files, ms since the epoch
 */
export function zipOf(entries: readonly ZipEntry[], modifiedAt: number): Readable {
  const zip = new ZipFile();
  // The library makes a `PassThrough`.
  const output = zip.outputStream as Readable;
  const options = { mtime: new Date(modifiedAt), mode: 0o100600 };
  let current: Readable | null = null;
  for (const { name, content } of entries) {
    zip.addReadStreamLazy(name, options, (ready) => {
      if (output.destroyed) return;
      current = Readable.from(content(), { objectMode: false });
      // The library handles errors of streams that it is given at once only.
      current.once('error', (error) => output.destroy(error));
      ready(null, current);
    });
  }
  zip.on('error', (error: Error) => output.destroy(error));
  output.once('close', () => current?.destroy());
  zip.end();
  return output;
}

/** The items as a JSON array, one in each line. */
export async function* jsonLines(pages: AsyncIterable<readonly unknown[]>): AsyncGenerator<string> {
  let separator = '[\n';
  for await (const page of pages) {
    if (page.length === 0) continue;
    yield separator + page.map((item) => JSON.stringify(item)).join(',\n');
    separator = ',\n';
  }
  yield separator === '[\n' ? '[]\n' : '\n]\n';
}
