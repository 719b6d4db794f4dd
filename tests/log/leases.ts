import { expect, onTestFinished } from 'vitest';
import { silentLogger } from '../../src/kernel/logger.ts';
import { type HeldPartition, Leases } from '../../src/log/lease.ts';
import type { DocumentStore, WriteBatch } from '../../src/ports/documents.ts';
import { type ManualClock, manualClock } from '../support/manual-clock.ts';

/** Called instead of an operation of the store, with the operation. */
export type Interceptors = Readonly<{
  apply?: (run: () => ReturnType<DocumentStore['apply']>, batch: WriteBatch) => ReturnType<DocumentStore['apply']>;
  find?: (run: () => ReturnType<DocumentStore['find']>) => ReturnType<DocumentStore['find']>;
}>;

export function intercepted(documents: DocumentStore, { apply, find }: Interceptors): DocumentStore {
  return {
    define: (collections) => documents.define(collections),
    drop: (collection) => documents.drop(collection),
    getMany: (collection, ids) => documents.getMany(collection, ids),
    find: (collection, query) => {
      const run = () => documents.find(collection, query);
      return find === undefined ? run() : find(run);
    },
    count: (collection, filter, cap) => documents.count(collection, filter, cap),
    apply: (batch) => {
      const run = () => documents.apply(batch);
      return apply === undefined ? run() : apply(run, batch);
    },
    purge: () => documents.purge(),
    close: () => documents.close(),
  };
}

/** Whether a batch renews the document of a node. */
export const isRenewal = ({ writes }: WriteBatch): boolean => writes[0]?.body?.kind === 'node';

/** Whether a batch takes or gives up a partition. */
export const isOfPartition = ({ writes }: WriteBatch): boolean => writes[0]?.body?.kind === 'partition';

type NodeOptions = Readonly<{
  documents: DocumentStore;
  clock: ManualClock;
  node: string;
  partitions?: number;
  role?: string;
  /** Default: work until the partition is lost. */
  work?: (held: HeldPartition) => Promise<void>;
}>;

/** A node that takes its share of the partitions, until the end of the test. */
export type LeasingNode = Readonly<{
  leases: Leases;
  /** The partitions that it works on, as long as it believes to hold them. */
  held(): readonly HeldPartition[];
  /** Everything that it has taken so far. */
  taken: readonly HeldPartition[];
  /** Ends it in order. */
  stop(): Promise<void>;
  running: Promise<void>;
}>;

export function startNode({ documents, clock, node, partitions = 1, role = 'work', work }: NodeOptions): LeasingNode {
  const leases = new Leases({ documents, clock, logger: silentLogger, role, node, partitions });
  const stop = new AbortController();
  const taken: HeldPartition[] = [];
  const working = new Set<HeldPartition>();
  const running = leases.run(stop.signal, async (held) => {
    taken.push(held);
    working.add(held);
    try {
      await (work ?? untilLost)(held);
    } finally {
      working.delete(held);
    }
  });
  running.catch(() => {});
  const end = async (): Promise<void> => {
    stop.abort();
    await running;
  };
  onTestFinished(() => end().catch(() => {}));
  return {
    leases,
    taken,
    running,
    held: () => [...working].filter(({ lost }) => !lost.aborted),
    stop: end,
  };
}

export const untilLost = ({ lost }: HeldPartition): Promise<void> =>
  new Promise((resolve) => {
    if (lost.aborted) resolve();
    lost.addEventListener('abort', () => resolve());
  });

/** Turns of the event loop in which the embedded store answers all calls of one step. */
const TURNS = 60;

export async function settle(turns = TURNS): Promise<void> {
  for (let i = 0; i < turns; i++) await new Promise((resolve) => setImmediate(resolve));
}

/** Moves time on these clocks in steps of 250 ms until a condition holds. Returns how many ms have passed. */
export async function pass(
  clocks: readonly ManualClock[],
  ms: number,
  until: () => boolean = () => false,
  turns = TURNS,
): Promise<number> {
  let passed = 0;
  await settle(turns);
  while (passed < ms && !until()) {
    for (const clock of clocks) await clock.advance(250);
    passed += 250;
    await settle(turns);
  }
  return passed;
}

/** The stored leases of a role, by id. */
export async function storedLeases(documents: DocumentStore, role = 'work') {
  const { items } = await documents.find('leases', { filter: { role }, limit: 4_096 });
  return Object.fromEntries(items.map(({ id, body }) => [id, body]));
}

export const PARTITIONS = 16;
export const NUMBERS = Array.from({ length: PARTITIONS }, (_, partition) => partition);

export type Running = Readonly<{ name: string; clock: ManualClock; node: LeasingNode }>;

const START = Date.parse('2026-01-01T00:00:00.000Z');

/** `at`: how long after the first node, in ms. */
export const start = (documents: DocumentStore, name: string, partitions = PARTITIONS, at = 0): Running => {
  const clock = manualClock(START + at);
  return { name, clock, node: startNode({ documents, clock, node: name, partitions }) };
};

export const clocksOf = (nodes: readonly Running[]) => nodes.map(({ clock }) => clock);
export const heldBy = ({ node }: Running) => node.held().map(({ partition }) => partition);
export const counts = (nodes: readonly Running[]) => nodes.map((each) => heldBy(each).length).sort();
export const allHeld = (nodes: readonly Running[]) => nodes.flatMap(heldBy).sort((a, b) => a - b);

/** Fails when two of these nodes believe to hold the same partition. */
export function expectNoneTwice(nodes: readonly Running[]): void {
  const held = allHeld(nodes);
  expect(held).toEqual([...new Set(held)]);
}

/** Moves time, and checks after each step that no partition is held twice. */
export async function passChecking(nodes: readonly Running[], ms: number, until: () => boolean = () => false) {
  return pass(clocksOf(nodes), ms, () => {
    expectNoneTwice(nodes);
    return until();
  });
}
