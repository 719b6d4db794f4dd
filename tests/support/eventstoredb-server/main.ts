import { startEventStoreDbServer } from './server.ts';

/**
 * The server as a separate process: `node main.ts <port> <file>`. Prints its connection string when ready. Everything it has acknowledged is in the
 * file, even after SIGKILL. Exits when its standard input ends, so also with its parent, and at SIGTERM.
 */
const [port, path] = process.argv.slice(2);
if (port === undefined || path === undefined) {
  console.error('usage: node main.ts <port> <file>');
  process.exit(2);
}
const server = await startEventStoreDbServer({ port: Number(port), path });
console.log(`ready ${server.url}`);

async function stop(): Promise<void> {
  await server.close();
  process.exit(0);
}
process.once('SIGTERM', stop);
process.stdin.once('end', stop).resume();
