import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { linkInOutbox, type Person, type Scene, signUp } from '../../examples/two-people.ts';
import { type Child, startChild } from './child.ts';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

/** All limits are enforced, but none is reached. */
const FREE = '1000000/s burst 1000000';
const env = {
  PORT: '0',
  HOST: '127.0.0.1',
  LOG_LEVEL: 'warn',
  RATE_LIMIT_ADDRESS: FREE,
  RATE_LIMIT_USER: FREE,
  RATE_LIMIT_MESSAGE: FREE,
  RATE_LIMIT_REGISTRATION: FREE,
  RATE_LIMIT_FRAME: FREE,
  RATE_LIMIT_UPGRADE: FREE,
  RATE_LIMIT_DIRECTORY: FREE,
  RATE_LIMIT_CONNECTIONS: '1000000',
};

/** A node with embedded stores, in a process and a folder of its own. */
export type ParleyChild = Child & Readonly<{ scene: Scene; remove: () => Promise<void> }>;

export async function startParleyChild(): Promise<ParleyChild> {
  const dataDir = await mkdtemp(join(tmpdir(), 'parley-bench-'));
  const child = await startChild(MAIN, { ...env, DATA_DIR: dataDir });
  const linkFor = (email: string) => linkInOutbox(join(dataDir, 'outbox'), email);
  return {
    ...child,
    scene: { url: child.url, linkFor, report: () => {} },
    remove: async () => {
      await child.stop();
      await rm(dataDir, { recursive: true });
    },
  };
}

/** Creates groups of two, owned by the first. */
export async function makeGroups(
  parley: ParleyChild,
  owner: Person,
  other: Person,
  count: number,
): Promise<readonly string[]> {
  const ids: string[] = [];
  for (let made = 0; made < count; made += 50) {
    const some = Array.from({ length: Math.min(50, count - made) }, async (_, i) => {
      const body = JSON.stringify({ name: `group ${made + i}`, participants: [other.userId] });
      const answer = await post(parley.url, '/api/v1/conversations', owner, body);
      return String(answer._id);
    });
    ids.push(...(await Promise.all(some)));
  }
  return ids;
}

/** Sends a POST and returns the body of its answer. */
export async function post(url: string, path: string, person: Person, body: string): Promise<Record<string, unknown>> {
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${person.accessToken}` };
  const response = await fetch(new URL(path, url), { method: 'POST', headers, body });
  const text = await response.text();
  if (!response.ok) throw new Error(`${path}: ${response.status} ${text}`);
  return JSON.parse(text) as Record<string, unknown>;
}

/** Signs up two people. */
export async function twoPeople(parley: ParleyChild): Promise<readonly [Person, Person]> {
  return [await signUp(parley.scene, 'ann'), await signUp(parley.scene, 'bob')];
}
