import type { Person } from '../../examples/two-people.ts';
import type { Server } from './server.ts';

/** The response of a node. `retryAfterS` is `null` without a `Retry-After` header. */
export type Answered = Readonly<{
  status: number;
  retryAfterS: number | null;
  answer: Readonly<Record<string, unknown>>;
}>;

/** Timeout of a request, in ms. */
const PATIENCE_MS = 30_000;

/** Sends a request to a node in a process of its own. */
export async function ask(
  node: Pick<Server, 'url'>,
  who: Pick<Person, 'accessToken'> | null,
  method: 'GET' | 'POST' | 'PUT' | 'DELETE',
  path: string,
  body?: object,
  idempotencyKey?: string,
): Promise<Answered> {
  const headers: Record<string, string> = who === null ? {} : { authorization: `Bearer ${who.accessToken}` };
  if (idempotencyKey !== undefined) headers['idempotency-key'] = idempotencyKey;
  if (body !== undefined) headers['content-type'] = 'application/json';
  const options = { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) };
  const response = await fetch(new URL(path, node.url), { ...options, signal: AbortSignal.timeout(PATIENCE_MS) });
  const retryAfter = response.headers.get('retry-after');
  const answer = (await response.json()) as Record<string, unknown>;
  return { status: response.status, retryAfterS: retryAfter === null ? null : Number(retryAfter), answer };
}

/** A query that reads all read models: the messages with a user who does not exist. */
const ALL_MODELS = `/api/v1/chat/convo/one-to-one/message?otherUserId=${'0'.repeat(24)}`;

/** Waits until all read models have reached a position, 5 s with each request. */
export async function untilSettled(
  node: Server,
  who: Person,
  position: string,
  patienceMs = PATIENCE_MS,
): Promise<void> {
  const path = position === '' ? ALL_MODELS : `${ALL_MODELS}&minPosition=${position}`;
  for (const deadline = Date.now() + patienceMs; ; ) {
    const { status, answer } = await ask(node, who, 'GET', path);
    if (status === 404) return;
    if (Date.now() >= deadline) {
      const last = `the last answer was ${status} ${JSON.stringify(answer)}`;
      throw new Error(`the read models did not reach ${position} within ${patienceMs} ms; ${last}`);
    }
  }
}

/** The names of the readiness checks that fail. `null` while the node does not answer. */
export async function partsAway(node: Pick<Server, 'url'>): Promise<readonly string[] | null> {
  try {
    const { status, answer } = await ask(node, null, 'GET', '/readyz');
    const parts = answer.parts as { name: string; ready: boolean }[];
    const away = parts.filter(({ ready }) => !ready).map(({ name }) => name);
    if ((status === 200) !== (away.length === 0))
      throw new Error(`/readyz answered ${status} with failing checks ${JSON.stringify(away)}`);
    return away;
  } catch (error) {
    // Thrown by fetch when there is no connection.
    if (error instanceof TypeError) return null;
    throw error;
  }
}
