import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { goLive, type Live, type Person, signIn } from '../../examples/two-people.ts';
import { startChild } from '../support/child.ts';
import { postMany } from '../support/load.ts';
import { makeGroups, type ParleyChild, startParleyChild, twoPeople } from '../support/parley.ts';
import { quantile, type Row } from '../support/rounds.ts';

const MESSAGES = Number(process.env.BENCH_MESSAGES ?? 100_000);
const GROUPS = 1_000;
/** Messages between two sign-ins: a token lasts 10 minutes. */
const AT_ONCE = 50_000;
const SENDS = 200;
const PER_SECOND = 30;
const RUNS = 5;
const MEMORY_MAX_MIB = 300;
const P99_MAX_MS = 3;
const BARE = fileURLToPath(new URL('../support/bare-live.ts', import.meta.url));
const body = JSON.stringify({ content: 'Shall we meet at noon, or is one o’clock better for you?' });

/** What remains of a flood of messages: resident memory, and how late the messages of two other, quiet users are right after it. */
export async function enduranceFigures(): Promise<readonly Row[]> {
  const bare = await startChild(BARE, {});
  const parley = await startParleyChild();
  try {
    const [ann, bob] = await twoPeople(parley);
    const [cy, di] = await twoPeople(parley);
    const groups = await makeGroups(parley, ann, bob, GROUPS);
    const before = memoryMib(parley);
    await flood(parley, ann, groups);
    const quiet = await quietRuns(parley, cy, di);
    const noise = await bareRuns(bare.url);
    const after = memoryMib(parley);
    return [...quiet.map((run, i) => tailRow(run, noise[i] ?? [], i + 1)), memoryRow(before, after)];
  } finally {
    await bare.stop();
    await parley.remove();
  }
}

async function flood(parley: ParleyChild, ann: Person, groups: readonly string[]): Promise<void> {
  for (let sent = 0; sent < MESSAGES; sent += AT_ONCE) {
    const { accessToken } = await signIn(parley.scene, ann);
    await postMany({
      url: parley.url,
      amount: Math.min(AT_ONCE, MESSAGES - sent),
      connections: 64,
      headers: { authorization: `Bearer ${accessToken}` },
      next: (connection, n) => ({
        path: `/api/v1/conversations/${groups[(connection * 15 + n) % GROUPS]}/messages`,
        body,
      }),
      variety: GROUPS,
    });
  }
}

/** Times from sending to receiving, and how late the server's event loop was meanwhile, in ms. */
type QuietRun = Readonly<{ times: readonly number[]; loopP99: number; loopMax: number }>;

async function quietRuns(parley: ParleyChild, cy: Person, di: Person): Promise<readonly QuietRun[]> {
  const [from, to] = [await goLiveAnew(parley, cy), await goLiveAnew(parley, di)];
  const runs: QuietRun[] = [];
  for (let run = 0; run < RUNS; run++) {
    // Reading the delays begins a new measurement.
    await loopDelays(parley.url);
    const times = await quietRun(from, to, di.userId, run);
    runs.push({ times, ...(await loopDelays(parley.url)) });
  }
  from.close();
  to.close();
  return runs;
}

async function quietRun(from: Live, to: Live, otherUserId: string, run: number): Promise<number[]> {
  return paced(async (n) => {
    const content = `quiet ${run} ${n}`;
    const received = to.message((text) => text === content);
    await from.send(otherUserId, content);
    await received;
  });
}

/** Tokens from before the flood have expired. */
const goLiveAnew = async ({ scene }: ParleyChild, person: Person): Promise<Live> =>
  goLive(scene, await signIn(scene, person));

/** Delays of the server's event loop since they were last read, in ms. */
async function loopDelays(url: string): Promise<Pick<QuietRun, 'loopP99' | 'loopMax'>> {
  const metrics = await (await fetch(new URL('/metrics', url))).text();
  const gauge = (name: string): number => {
    const seconds = new RegExp(`^nodejs_eventloop_lag_${name}_seconds (\\S+)$`, 'm').exec(metrics)?.[1];
    if (seconds === undefined) throw new Error(`/metrics has no ${name} of the event loop`);
    return Number(seconds) * 1_000;
  };
  return { loopP99: gauge('p99'), loopMax: gauge('max') };
}

/** The same over the bare server, which shows how late the machine alone makes a message. */
async function bareRuns(url: string): Promise<readonly (readonly number[])[]> {
  const socket = new WebSocket(url.replace(/^http/, 'ws'));
  await new Promise((resolve) => socket.addEventListener('open', resolve, { once: true }));
  const runs: number[][] = [];
  for (let run = 0; run < RUNS; run++) {
    runs.push(
      await paced(async (n) => {
        const received = new Promise((resolve) => socket.addEventListener('message', resolve, { once: true }));
        socket.send(`quiet ${run} ${n}`);
        await received;
      }),
    );
  }
  socket.close();
  return runs;
}

async function paced(send: (n: number) => Promise<void>): Promise<number[]> {
  const times: number[] = [];
  const started = performance.now();
  for (let n = 0; n < SENDS; n++) {
    const due = started + (n * 1_000) / PER_SECOND;
    while (performance.now() < due)
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, due - performance.now())));
    const sent = performance.now();
    await send(n);
    times.push(performance.now() - sent);
  }
  return times;
}

function tailRow({ times, loopP99, loopMax }: QuietRun, noise: readonly number[], number: number): Row {
  const [p50, p99, bareP99] = [quantile(times, 0.5), quantile(times, 0.99), quantile(noise, 0.99)];
  return {
    figure: `send → receive of a quiet pair after ${MESSAGES.toLocaleString('en-US')} messages of others, run ${number}`,
    measured: `p50 ${p50.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms; delay of the event loop p99 ${loopP99.toFixed(1)} ms, longest ${loopMax.toFixed(1)} ms`,
    baseline: `bare ws: p50 ${quantile(noise, 0.5).toFixed(2)} ms, p99 ${bareP99.toFixed(2)} ms`,
    ratio: (p99 / bareP99).toFixed(2),
    bar: `p99 ${P99_MAX_MS} ms`,
    verdict: p99 <= P99_MAX_MS ? 'reached' : `missed by ${(p99 - P99_MAX_MS).toFixed(1)} ms`,
  };
}

function memoryRow(before: number | null, after: number | null): Row {
  return {
    figure: `resident memory after ${MESSAGES.toLocaleString('en-US')} messages in ${GROUPS.toLocaleString('en-US')} conversations`,
    measured: `${after ?? '?'} MiB`,
    baseline: `before the first message: ${before ?? '?'} MiB`,
    ratio: after === null || before === null ? '?' : (after / before).toFixed(2),
    bar: `${MEMORY_MAX_MIB} MiB`,
    verdict:
      after === null ? 'not measured' : after <= MEMORY_MAX_MIB ? 'reached' : `missed by ${after - MEMORY_MAX_MIB} MiB`,
  };
}

/** Resident memory of the server, `null` where the system does not report it. */
function memoryMib({ process: { pid } }: ParleyChild): number | null {
  try {
    const kib = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return kib === undefined ? null : Math.round(Number(kib) / 1_024);
  } catch {
    // Not Linux.
    return null;
  }
}
