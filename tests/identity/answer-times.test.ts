import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Answer, PASSWORD, type Server, signUp, startServer } from '../support/http.ts';

/**
 * `rounds`: requests of each kind; the kinds alternate, so that a busy machine slows down all of them. `least`: bound of the probability that a request
 * of one kind takes longer than one of the other, which is 0.5 for the same distribution. Its standard deviation is 0.053 for 60 rounds and 0.09 for 20;
 * one append more, or a password that is not verified, brings it close to 0 or 1.
 */
const REGISTRATIONS = { rounds: 60, least: 0.2 };
const SIGN_INS = { rounds: 20, least: 0.1 };

let server: Server;
let count = 0;
const newName = (): string => `name${++count}`;

beforeAll(async () => {
  server = await startServer();
});
afterAll(() => server.close());

const post = (url: string, payload: object): Promise<Answer> => server.ask(null, { method: 'POST', url, payload });
const register = (email: string, username = newName()): Promise<Answer> => post('/api/v1/users', { email, username });

async function timed(send: () => Promise<Answer>, status: number): Promise<number> {
  const start = performance.now();
  const answer = await send();
  const took = performance.now() - start;
  expect(answer.status).toBe(status);
  return took;
}

/** The probability that a number of the first list is greater than one of the second (Mann-Whitney). */
function greater(first: readonly number[], second: readonly number[]): number {
  const wins = first.flatMap((a) => second.map((b): number => (a > b ? 1 : a === b ? 0.5 : 0)));
  return wins.reduce((sum, win) => sum + win, 0) / wins.length;
}

it('a registration takes as long for a new address as for one with a pending or an active account', {
  timeout: 60_000,
}, async () => {
  const { email: active } = await signUp(server, newName());
  const pending = `${newName()}@example.org`;
  await register(pending);
  const times = { free: [] as number[], pending: [] as number[], active: [] as number[] };
  for (let i = 0; i < REGISTRATIONS.rounds; i++) {
    for (const kind of ['free', 'pending', 'active'] as const) {
      const email = { free: `${newName()}@example.org`, pending, active }[kind];
      times[kind].push(await timed(() => register(email), 202));
    }
  }
  for (const known of [times.pending, times.active]) {
    const probability = greater(times.free, known);
    expect(probability).toBeGreaterThan(REGISTRATIONS.least);
    expect(probability).toBeLessThan(1 - REGISTRATIONS.least);
  }
});

it('a failed sign-in takes as long for an unknown address as for an account', { timeout: 60_000 }, async () => {
  const { email: active } = await signUp(server, newName());
  const pending = `${newName()}@example.org`;
  await register(pending);
  const times = { unknown: [] as number[], pending: [] as number[], active: [] as number[] };
  for (let i = 0; i < SIGN_INS.rounds; i++) {
    for (const kind of ['unknown', 'pending', 'active'] as const) {
      const email = { unknown: `${newName()}@example.org`, pending, active }[kind];
      times[kind].push(await timed(() => post('/api/v1/sessions', { email, password: `${PASSWORD}!` }), 401));
    }
  }
  for (const known of [times.pending, times.active]) {
    const probability = greater(times.unknown, known);
    expect(probability).toBeGreaterThan(SIGN_INS.least);
    expect(probability).toBeLessThan(1 - SIGN_INS.least);
  }
});
