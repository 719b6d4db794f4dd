import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { linkInOutbox, readBack, type Scene, signIn, signUp, talk } from '../../examples/two-people.ts';
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

it('a log restored from an older backup is refused with newer documents, and works without them', async () => {
  const linkFor = (email: string) => linkInOutbox(join(dataDir, 'outbox'), email);
  const scene: Scene = { url: server.url, linkFor, report: () => {} };
  const [ann, bob] = [await signUp(scene, 'ann'), await signUp(scene, 'bob')];
  await server.stop();
  await cp(join(dataDir, 'events.db'), join(dataDir, 'backup.db'));
  server = await startServer(env);
  const { position } = await talk(scene, ann, bob);
  await readBack(scene, ann, bob, position);
  await server.stop();

  for (const suffix of ['-wal', '-shm']) await rm(join(dataDir, `events.db${suffix}`), { force: true });
  await cp(join(dataDir, 'backup.db'), join(dataDir, 'events.db'));
  await expect(startServer(env)).rejects.toThrow('the documents are ahead of the event log');

  for (const suffix of ['', '-wal', '-shm']) await rm(join(dataDir, `documents.db${suffix}`), { force: true });
  server = await startServer(env);
  const again = await signIn(scene, ann);
  const { position: next } = await talk(scene, again, bob);
  expect(await readBack(scene, again, bob, next)).toHaveLength(2);
}, 60_000);
