import autocannon from 'autocannon';

/** POSTs as fast as the server answers, over `connections` connections for `seconds`; each request's body comes from `next`. Gives answers per second. */
export async function postRate(options: {
  url: string;
  connections: number;
  seconds: number;
  headers: Record<string, string>;
  /** Path and body of the n-th request of a connection. */
  next: (connection: number, n: number) => { path: string; body: string };
  /** Requests prepared per connection; they are sent in turn. */
  variety: number;
}): Promise<number> {
  let connection = 0;
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
  return result.requests.total / result.duration;
}
