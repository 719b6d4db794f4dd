import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it, onTestFinished, vi } from 'vitest';
import { address, username } from '../../src/aggregates/reservation/decider.ts';
import { createNameIds } from '../../src/identity/names.ts';
import { deriveSecrets } from '../../src/identity/secrets.ts';
import type { RecordedEvent } from '../../src/kernel/event.ts';
import { group, PASSWORD, type Person, type Server, signUp, startServer } from '../support/http.ts';
import { type ManualClock, manualClock } from '../support/manual-clock.ts';
import { SERVER_SECRET } from '../support/stores.ts';

const CHILD = new URL('./erasure.child.ts', import.meta.url).pathname;
/** Later than an attempt that was in progress when its process was killed counts as lost. */
const LATER_MS = 5 * 60_000;
const names = createNameIds(deriveSecrets(SERVER_SECRET).names);

let base: string;
let prepared: string;
let ann: Person;
let bob: Person;
let groups: Readonly<Record<'owned' | 'joined' | 'alone', string>>;

beforeAll(async () => {
  base = await mkdtemp(join(tmpdir(), 'parley-erasure-crash-'));
  prepared = await mkdtemp(join(base, 'prepared-'));
  const server = await startServer({ folder: prepared });
  [ann, bob] = [await signUp(server, 'ann'), await signUp(server, 'bob')];
  groups = {
    owned: await group(server, ann, bob),
    joined: await group(server, bob, ann),
    alone: await group(server, ann),
  };
  await server.close();
});
afterAll(() => rm(base, { recursive: true }));

/** Erases Ann on a copy of the data in a process that is killed before a step. */
async function eraseAndKill(step: number): Promise<Readonly<{ folder: string; killed: boolean }>> {
  const folder = join(base, `step-${step}`);
  await cp(prepared, folder, { recursive: true });
  const args = ['--disable-warning=ExperimentalWarning', CHILD, folder, ann.accessToken, PASSWORD, String(step)];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'inherit', 'inherit'] });
  const [code, signal] = await once(child, 'exit');
  expect(code === 0 || signal === 'SIGKILL').toBe(true);
  return { folder, killed: signal === 'SIGKILL' };
}

async function typesOf(server: Server, stream: string): Promise<readonly string[]> {
  return (await server.log.readStream(stream)).events.map(({ type }) => type);
}

/** Everything that an erasure has to have done, once. */
async function expectErased(server: Server): Promise<void> {
  const account = await server.log.readStream(`user-${ann.userId}`);
  const count = (type: string): number => account.events.filter((event: RecordedEvent) => event.type === type).length;
  expect([count('ErasureRequested'), count('UserErased')]).toEqual([1, 1]);
  expect(account.events.find(({ type }) => type === 'UserRegistered')?.data.email).toBeNull();
  expect((await server.personalKeys.stored([ann.userId])).get(ann.userId)).toBe('destroyed');
  for (const [aggregate, id] of [
    [username, names.username(ann.username)],
    [address, names.address(ann.email)],
  ] as const) {
    const types = await typesOf(server, `${aggregate.category}-${id}`);
    expect(types).toEqual(['NameReserved', 'NameConfirmed', 'NameReleased']);
  }
  const owned = await server.log.readStream(`conversation-${groups.owned}`);
  expect(owned.events.map(({ type }) => type)).toEqual(['ConversationCreated', 'MemberRemoved']);
  expect(owned.events.at(-1)?.data).toMatchObject({ userId: ann.userId, nextOwnerId: bob.userId, reason: 'erased' });
  expect(await typesOf(server, `conversation-${groups.joined}`)).toEqual(['ConversationCreated', 'MemberRemoved']);
  expect(await typesOf(server, `conversation-${groups.alone}`)).toEqual(['ConversationCreated', 'ConversationDeleted']);
}

/** Moves the clock until the check passes. */
async function until(clock: ManualClock, check: () => Promise<void>): Promise<void> {
  await vi.waitFor(
    async () => {
      await clock.advance(500);
      await turn();
      await check();
    },
    { timeout: 20_000, interval: 10 },
  );
}

async function close(clock: ManualClock, server: Server): Promise<void> {
  let isClosed = false;
  const closing = server.close().finally(() => {
    isClosed = true;
  });
  while (!isClosed) {
    await clock.advance(1_000);
    await turn();
  }
  await closing;
}

it('an erasure that is killed between any two of its steps is completed after the restart', {
  timeout: 180_000,
}, async () => {
  let steps = 0;
  let next = eraseAndKill(1);
  // Also when the test has failed, no process is left.
  onTestFinished(() => Promise.allSettled([next]).then(() => {}));
  for (let isLast = false; !isLast; ) {
    const step = ++steps;
    const { folder, killed } = await next;
    // Starting a process takes longer than the check of the one before.
    if (killed) next = eraseAndKill(step + 1);
    isLast = !killed;
    const clock = manualClock(Date.now() + LATER_MS);
    const server = await startServer({ folder, clock });
    if (step === 1) {
      // Nothing was accepted.
      expect(await typesOf(server, `user-${ann.userId}`)).not.toContain('ErasureRequested');
    } else {
      await until(clock, () => expectErased(server));
    }
    await close(clock, server);
  }
  // The request, the key, UserErased, two names, and three groups; the key once more by the reaction.
  expect(steps).toBeGreaterThanOrEqual(9);
  expect(steps).toBeLessThan(20);
});
