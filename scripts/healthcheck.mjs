// Ends with code 0 when the node in this container answers, for the image's HEALTHCHECK. It asks whether the process lives, not whether its stores do:
// a restart brings no store back. `node scripts/healthcheck.mjs /readyz` asks the latter, and prints what is missing.
const TIMEOUT_MS = 4_000;
/** Who listens on every address answers on this one. */
const LOOPBACK = '127.0.0.1';

const { HOST, PORT, SERVER_PORT } = process.env;
const path = process.argv[2] ?? '/healthz';
const port = PORT?.trim() || SERVER_PORT?.trim() || '3000';
const host = HOST?.trim() || LOOPBACK;
const address = ['0.0.0.0', '::'].includes(host) ? LOOPBACK : host.includes(':') ? `[${host}]` : host;

try {
  const response = await fetch(`http://${address}:${port}${path}`, { signal: AbortSignal.timeout(TIMEOUT_MS) });
  console.log(await response.text());
  process.exitCode = response.ok ? 0 : 1;
} catch (error) {
  console.log(`no answer: ${error.cause?.message ?? error.message}`);
  process.exitCode = 1;
}
