import type { Clock } from '../../ports/clock.ts';
import { WebDocumentError, type WebDocuments } from '../../ports/web-documents.ts';

/** Time limit of one document, in ms. */
const READ_MS = 5_000;
/** Maximum size of a document, in bytes. */
const SIZE_MAX = 256 * 1024;

/** Reads documents by `fetch`. `readMs`: time limit of one document, by default 5 s. */
export function createWebDocuments({ clock, readMs = READ_MS }: { clock: Clock; readMs?: number }): WebDocuments {
  return {
    async json(url) {
      const timeout = new AbortController();
      const timer = clock.after(readMs, () => timeout.abort(new Error(`no answer within ${readMs} ms`)));
      try {
        const headers = { accept: 'application/json' };
        const response = await fetch(url, { headers, redirect: 'error', signal: timeout.signal });
        if (response.status !== 200) {
          await response.body?.cancel();
          throw new Error(`the answer is ${response.status}`);
        }
        return JSON.parse(await textOf(response));
      } catch (error) {
        throw new WebDocumentError(`${url} cannot be read: ${reasonOf(error)}`, { cause: error });
      } finally {
        timer.cancel();
      }
    },
  };
}

async function textOf(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  // Leaving the loop cancels the body.
  for await (const chunk of response.body ?? []) {
    size += chunk.length;
    if (size > SIZE_MAX) throw new Error(`it is larger than ${SIZE_MAX} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

/** `fetch` reports failures of the connection as the cause of an error without details. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error && error.cause.message !== '' ? error.cause.message : error.message;
}
