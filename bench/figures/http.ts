import { fileURLToPath } from 'node:url';
import type { Person } from '../../examples/two-people.ts';
import { type Child, startChild } from '../support/child.ts';
import { seconds } from '../support/environment.ts';
import { postRate } from '../support/load.ts';
import { makeGroups, type ParleyChild, post, startParleyChild, twoPeople } from '../support/parley.ts';
import { compareRates, type Row, type Sample } from '../support/rounds.ts';

const CONNECTIONS = 64;
const GROUPS = 1_000;
const BARE = fileURLToPath(new URL('../support/bare-server.ts', import.meta.url));
const body = JSON.stringify({ content: 'Shall we meet at noon, or is one o’clock better for you?' });

/** Messages that are sent over HTTP: to a thousand conversations, and to one. */
export async function httpFigures(): Promise<readonly Row[]> {
  const bare = await startChild(BARE, {});
  const parley = await startParleyChild();
  try {
    const [ann, bob] = await twoPeople(parley);
    const groups = await makeGroups(parley, ann, bob, GROUPS);
    const [hot = ''] = groups;
    const toMany = () => messages(parley, ann, (connection, n) => groups[(connection * 15 + n) % GROUPS] ?? hot);
    const toOne = () => messages(parley, ann, () => hot);
    const toBare = () => load(bare, {}, (connection, n) => groups[(connection * 15 + n) % GROUPS] ?? hot);
    return [
      await compareRates({
        name: 'POST of a message to 1,000 conversations, 64 connections',
        unit: '/s',
        bar: 0.5,
        baseline: { name: 'bare Fastify answering 202 with the same body', run: toBare },
        run: toMany,
      }),
      await compareRates({
        name: 'POST of a message to one conversation, 64 connections',
        unit: '/s',
        bar: 0.8,
        baseline: { name: 'to 1,000 conversations', run: toMany },
        run: toOne,
      }),
    ];
  } finally {
    await bare.stop();
    await parley.remove();
  }
}

/** Sends messages, then waits until the read models have all of them, so that each run starts without a backlog. */
async function messages(
  parley: ParleyChild,
  ann: Person,
  to: (connection: number, n: number) => string,
): Promise<Sample> {
  const sample = await load(parley, { authorization: `Bearer ${ann.accessToken}` }, to);
  const started = performance.now();
  const { position } = await post(parley.url, `/api/v1/conversations/${to(0, 0)}/messages`, ann, body);
  for (let isLagging = true; isLagging; ) {
    const headers = { authorization: `Bearer ${ann.accessToken}`, 'min-position': String(position) };
    const response = await fetch(new URL('/api/v1/conversations?limit=1', parley.url), { headers });
    await response.arrayBuffer();
    isLagging = response.status === 503;
  }
  console.error(
    `  ${Math.round(sample.rate)}/s; the read models had all messages ${Math.round(performance.now() - started)} ms after the last answer`,
  );
  return sample;
}

async function load(
  server: Child,
  headers: Record<string, string>,
  to: (connection: number, n: number) => string,
): Promise<Sample> {
  const next = (connection: number, n: number) => ({
    path: `/api/v1/conversations/${to(connection, n)}/messages`,
    body,
  });
  const { pid } = server.process;
  return postRate({
    url: server.url,
    pid,
    connections: CONNECTIONS,
    seconds: seconds(),
    headers,
    next,
    variety: GROUPS,
  });
}
