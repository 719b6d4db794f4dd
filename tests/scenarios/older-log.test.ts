import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { linkInOutbox, readBack, type Scene, signIn, signUp, talk } from '../../examples/two-people.ts';
import { projections as catalogue } from '../../src/projections/models/catalogue.ts';
import { freePort, type Server, startServer } from '../support/server.ts';

let dataDir: string;
let env: Record<string, string>;
let server: Server;

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'parley-'));
  env = { PORT: String(await freePort()), DATA_DIR: dataDir };
  server = await startServer(env);
});

afterAll(async () => {
  await server.stop();
  await rm(dataDir, { recursive: true });
});

it('a log restored from an older backup is followed with newer documents, which are built again', async () => {
  const linkFor = (email: string) => linkInOutbox(join(dataDir, 'outbox'), email);
  const scene: Scene = { url: server.url, linkFor, report: () => {} };
  const [ann, bob] = [await signUp(scene, 'ann'), await signUp(scene, 'bob')];
  await server.stop();
  await cp(join(dataDir, 'events.db'), join(dataDir, 'backup.db'));
  server = await startServer(env);
  const { position } = await talk(scene, ann, bob);
  expect(await readBack(scene, ann, bob, position)).toHaveLength(2);
  await server.stop();

  for (const suffix of ['-wal', '-shm']) await rm(join(dataDir, `events.db${suffix}`), { force: true });
  await cp(join(dataDir, 'backup.db'), join(dataDir, 'events.db'));
  server = await startServer(env);
  const again = await signIn(scene, ann);
  const { position: next } = await talk(scene, again, bob);
  expect(await readBack(scene, again, bob, next)).toHaveLength(2);
  const lines = server
    .output()
    .split('\n')
    .filter((line) => line.includes('restored from an older copy'));
  expect(lines.every((line) => JSON.parse(line).level === 50)).toBe(true);
  expect(lines.filter((line) => line.includes('the read model is built again'))).toHaveLength(catalogue.length);
  expect((await fetch(new URL('/readyz', server.url))).status).toBe(200);
}, 60_000);
