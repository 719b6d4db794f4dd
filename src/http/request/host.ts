import type { IncomingMessage } from 'node:http';
import { Refusal } from '../../kernel/errors.ts';

/** Requires one `Host` header, as RFC 9112 does in section 3.2: of several, a proxy and this server might believe different ones. */
export function checkHost({ rawHeaders, httpVersion }: IncomingMessage): void {
  let count = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i];
    if (name?.length === 4 && name.toLowerCase() === 'host') count++;
  }
  if (count === 1 || (count === 0 && httpVersion === '1.0')) return;
  throw new Refusal('malformed', 'a request must have exactly one Host header');
}
