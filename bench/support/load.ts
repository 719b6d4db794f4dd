import autocannon from 'autocannon';
import { cpuMs } from './cpu.ts';
import type { Sample } from './rounds.ts';

/** Sends POSTs for `seconds` over `connections` connections, each as soon as the one before was answered. Returns the answers per second. */
export async function postRate(options: {
  url: string;
  /** The process of the server, for its processor time. */
  pid: number | undefined;
  connections: number;
  seconds: number;
  headers: Record<string, string>;
  /** Path and body of the n-th request of a connection. */
  next: (connection: number, n: number) => { path: string; body: string };
  /** Number of requests that are prepared for each connection, and sent in turn. */
  variety: number;
}): Promise<Sample> {
  let connection = 0;
  const before = cpuMs(options.pid);
  const result = await autocannon({
    url: options.url,
    connections: options.connections,
    duration: options.seconds,
    method: 'POST',
    headers: { 'content-type': 'application/json', ...options.headers },
    setupClient: (client) => {
      const own = connection++;
      const requests = Array.from({ length: options.variety }, (_, n) => ({
        method: 'POST' as const,
        ...options.next(own, n),
      }));
      client.setRequests(requests);
    },
  });
  const bad = result.non2xx + result.errors + result.timeouts;
  if (bad > 0)
    throw new Error(`${bad} of ${result.requests.total} requests failed: ${JSON.stringify(result.statusCodeStats)}`);
  const after = cpuMs(options.pid);
  const cpuMicros = before === null || after === null ? null : ((after - before) * 1_000) / result.requests.total;
  return { rate: result.requests.total / result.duration, cpuMicros };
}
