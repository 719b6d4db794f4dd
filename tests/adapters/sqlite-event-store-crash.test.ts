import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { dataOf, note } from '../contracts/events.ts';
import { readToEnd } from '../contracts/following.ts';
import { newFolder, open, outputOf, startChild } from './sqlite-event-store.ts';

const ROUNDS = 5;
const IN_FLIGHT = 16;

let folder: string;
let path: string;

beforeEach(async () => {
  folder = await newFolder();
  path = join(folder, 'events.db');
});
afterEach(() => rm(folder, { recursive: true }));

it('a process killed under load has every resolved append in the log, completely and once', {
  timeout: 60_000,
}, async () => {
  const resolved = new Map<string, string>();
  for (let round = 0; round < ROUNDS; round++) {
    const lines = await loadAndKill(100 + Math.floor(Math.random() * 900));
    for (const line of lines) {
      const [stream, revision, position] = line.split(' ');
      resolved.set(`${stream} ${revision}`, position!);
    }
    // The store can be opened immediately: the lock was released with the process.
    const store = await open(path);
    const { records } = await readToEnd(store);
    await store.close();

    const positions = new Map(records.map((record) => [`${record.stream} ${record.revision}`, record.position]));
    expect(positions.size).toBe(records.length);
    for (const [place, position] of resolved) expect([place, positions.get(place)]).toEqual([place, position]);
    for (const own of Map.groupBy(records, (record) => record.stream).values()) {
      expect(own.map((record) => [record.revision, dataOf(record).text])).toEqual(
        own.map((_, n) => [BigInt(n), String(n)]),
      );
      expect(own.length % 2).toBe(0);
    }
    // All others were in progress when the process was killed.
    expect(records.length / 2 - resolved.size).toBeLessThanOrEqual(IN_FLIGHT * (round + 1));
  }
});

it('with a full disk appends are rejected with UNAVAILABLE, resolved ones are kept, and smaller ones are accepted', {
  timeout: 60_000,
}, async () => {
  const output = JSON.parse(await outputOf(startChild('fill', path, 8_000)));
  const { written } = output;
  expect(written).toBeGreaterThan(2);
  expect(output).toEqual({
    written,
    outcomes: ['UNAVAILABLE', 'UNAVAILABLE', 'UNAVAILABLE'],
    revision: written,
    place: written + 1,
    readable: written + 1,
  });
  const store = await open(path);
  const { revision } = await store.append('fill-1', [note('there is space again')], { expect: BigInt(written) });
  expect(revision).toBe(BigInt(written + 1));
  await store.close();
});

/** Starts a process that appends, kills it after a number of resolved appends, and returns its output. */
async function loadAndKill(appends: number): Promise<string[]> {
  const child = startChild('load', path);
  const ended = once(child, 'close');
  const lines: string[] = [];
  for await (const line of createInterface({ input: child.stdout! })) {
    lines.push(line);
    if (lines.length === appends) child.kill('SIGKILL');
  }
  await ended;
  expect(child.signalCode).toBe('SIGKILL');
  // The last line may be truncated.
  return lines.filter((line) => /^load-\d+ \d+ \d{16}$/.test(line));
}
