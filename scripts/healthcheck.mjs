// The HEALTHCHECK of the image: exits with code 0 when the node in this container answers `/healthz`. This checks the process and not its stores,
// because a restart of the node does not repair a store. `node scripts/healthcheck.mjs /readyz` checks the stores too, and prints what is not ready.
const TIMEOUT_MS = 4_000;
/** A server that listens on all addresses answers on this one. */
const LOOPBACK = '127.0.0.1';

const { HOST, METRICS_TOKEN, PORT, SERVER_PORT } = process.env;
const path = process.argv[2] ?? '/healthz';
const port = PORT?.trim() || SERVER_PORT?.trim() || '3000';
const host = HOST?.trim() || LOOPBACK;
const address = ['0.0.0.0', '::'].includes(host) ? LOOPBACK : host.includes(':') ? `[${host}]` : host;

// The reasons in `/readyz` are for those who may read the metrics.
const headers = METRICS_TOKEN?.trim() ? { authorization: `Bearer ${METRICS_TOKEN.trim()}` } : {};

try {
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  const response = await fetch(`http://${address}:${port}${path}`, { headers, signal });
  console.log(await response.text());
  process.exitCode = response.ok ? 0 : 1;
} catch (error) {
  console.log(`no response: ${error.cause?.message ?? error.message}`);
  process.exitCode = 1;
}
