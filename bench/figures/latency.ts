import { Agent, request } from 'node:http';
import { goLive, type Person } from '../../examples/two-people.ts';
import { seconds } from '../support/environment.ts';
import { makeGroups, startParleyChild, twoPeople } from '../support/parley.ts';
import { quantile, type Row } from '../support/rounds.ts';

const PER_SECOND = 500;
const ALLOWED_MS = 10;

/** Time from sending a command to its 202, and to the frame on the other user's socket, at a steady 500 commands per second. */
export async function latencyFigures(): Promise<readonly Row[]> {
  const parley = await startParleyChild();
  try {
    const [ann, bob] = await twoPeople(parley);
    const groups = await makeGroups(parley, ann, bob, 100);
    const live = await goLive(parley.scene, bob);
    await run(parley.url, ann, groups, live);
    const { answered, framed } = await run(parley.url, ann, groups, live);
    live.close();
    return [0.5, 0.99].map((q) => {
      const [frame, answer] = [quantile(framed, q), quantile(answered, q)];
      const good = q === 0.5 || frame <= answer + ALLOWED_MS;
      return {
        figure: `command sent → frame on the other user's socket at ${PER_SECOND}/s, p${q * 100}`,
        measured: `${frame.toFixed(2)} ms`,
        baseline: `only the 202: ${answer.toFixed(2)} ms`,
        ratio: (frame / answer).toFixed(2),
        bar: q === 0.5 ? '–' : `within ${ALLOWED_MS} ms`,
        verdict: q === 0.5 ? '' : good ? 'reached' : `missed by ${(frame - answer - ALLOWED_MS).toFixed(1)} ms`,
      };
    });
  } finally {
    await parley.remove();
  }
}

type Live = Awaited<ReturnType<typeof goLive>>;

async function run(url: string, ann: Person, groups: readonly string[], live: Live) {
  const agent = new Agent({ keepAlive: true, maxSockets: 64 });
  const answered: number[] = [];
  const framed: number[] = [];
  const total = PER_SECOND * seconds();
  const started = performance.now();
  const tasks: Promise<void>[] = [];
  for (let n = 0; n < total; n++) {
    const due = started + (n * 1_000) / PER_SECOND;
    while (performance.now() < due)
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, due - performance.now())));
    const content = `${started} ${n}`;
    const sent = performance.now();
    const path = `/api/v1/conversations/${groups[n % groups.length]}/messages`;
    tasks.push(
      post(agent, new URL(path, url), ann, JSON.stringify({ content })).then(
        () => void answered.push(performance.now() - sent),
      ),
      live.message((text) => text === content).then(() => void framed.push(performance.now() - sent)),
    );
  }
  await Promise.all(tasks);
  agent.destroy();
  return { answered, framed };
}

function post(agent: Agent, url: URL, { accessToken }: Person, body: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const headers = {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
      authorization: `Bearer ${accessToken}`,
    };
    const sending = request(url, { method: 'POST', agent, headers }, (response) => {
      response.resume();
      response.once('end', () =>
        response.statusCode === 202 ? resolve() : reject(new Error(`${response.statusCode}`)),
      );
    });
    sending.once('error', reject);
    sending.end(body);
  });
}
