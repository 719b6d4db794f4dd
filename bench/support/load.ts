import autocannon from 'autocannon';
import { cpuMs } from './cpu.ts';
import type { Sample } from './rounds.ts';

type Load = Readonly<{
  url: string;
  connections: number;
  headers: Record<string, string>;
  /** Path and body of the n-th request of a connection. */
  next: (connection: number, n: number) => { path: string; body: string };
  /** Number of requests that are prepared for each connection, and sent in turn. */
  variety: number;
}>;

/** Sends POSTs for `seconds` over `connections` connections, each as soon as the one before was answered. Returns the answers per second. */
export async function postRate(
  options: Load &
    Readonly<{ seconds: number /** The process of the server, for its processor time. */; pid: number | undefined }>,
): Promise<Sample> {
  const before = cpuMs(options.pid);
  const result = await send(options, { duration: options.seconds });
  const after = cpuMs(options.pid);
  const cpuMicros = before === null || after === null ? null : ((after - before) * 1_000) / result.requests.total;
  return { rate: result.requests.total / result.duration, cpuMicros };
}

/** Sends this many POSTs. */
export async function postMany(options: Load & Readonly<{ amount: number }>): Promise<void> {
  await send(options, { amount: options.amount });
}

async function send(
  { url, connections, headers, next, variety }: Load,
  until: { duration: number } | { amount: number },
) {
  let connection = 0;
  const result = await autocannon({
    url,
    connections,
    ...until,
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    setupClient: (client) => {
      const own = connection++;
      client.setRequests(Array.from({ length: variety }, (_, n) => ({ method: 'POST' as const, ...next(own, n) })));
    },
  });
  const bad = result.non2xx + result.errors + result.timeouts;
  if (bad > 0)
    throw new Error(`${bad} of ${result.requests.total} requests failed: ${JSON.stringify(result.statusCodeStats)}`);
  return result;
}
