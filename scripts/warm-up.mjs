// Fills the compile cache (see compile-cache.mjs) where nothing can be written later, as in an image: loads the adapters of the shared stores, and starts the server
// once, with the command of `npm start`, on data that is then removed.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { getCompileCacheDir } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import './compile-cache.mjs';

const START_MS = 60_000;
const root = new URL('../', import.meta.url);

await import('../src/adapters/eventstoredb/event-store.ts');
await import('../src/adapters/mongodb/documents.ts');
await import('../src/adapters/mongodb/keys.ts');

const data = mkdtempSync(join(tmpdir(), 'parley-warm-up-'));
try {
  const { scripts } = JSON.parse(readFileSync(new URL('package.json', root), 'utf8'));
  const options = scripts.start.split(' ').slice(2);
  const server = spawn(process.execPath, options, {
    cwd: root,
    env: { PATH: process.env.PATH, DATA_DIR: data, HOST: '127.0.0.1', PORT: '0' },
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: START_MS,
  });
  const ended = once(server, 'exit');
  for await (const line of createInterface({ input: server.stdout })) {
    if (line.startsWith('Parley is ready')) server.kill('SIGTERM');
  }
  const [code] = await ended;
  if (code !== 0) throw new Error(`the server ended with ${code}`);
  makeReadable(getCompileCacheDir());
} finally {
  rmSync(data, { recursive: true, force: true });
}

/** The server creates files that only its user can read, and another user may run it later. */
function makeReadable(folder) {
  chmodSync(folder, 0o755);
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) makeReadable(path);
    else chmodSync(path, 0o644);
  }
}
