import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { note } from '../contracts/events.ts';
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

it('a process killed under load leaves every answered append in the log, whole and once', {
  timeout: 60_000,
}, async () => {
  const answered = new Map<string, string>();
  for (let round = 0; round < ROUNDS; round++) {
    const lines = await loadAndKill(100 + Math.floor(Math.random() * 900));
    for (const line of lines) {
      const [stream, revision, position] = line.split(' ');
      answered.set(`${stream} ${revision}`, position!);
    }
    // It opens at once: the lock went with the process.
    const store = await open(path);
    const { events } = await readToEnd(store, { direction: 'forwards', from: null });
    await store.close();

    const positions = new Map(events.map((event) => [`${event.stream} ${event.revision}`, event.position]));
    expect(positions.size).toBe(events.length);
    for (const [place, position] of answered) expect([place, positions.get(place)]).toEqual([place, position]);
    for (const own of Map.groupBy(events, (event) => event.stream).values()) {
      expect(own.map((event) => [event.revision, event.data.text])).toEqual(own.map((_, n) => [BigInt(n), String(n)]));
      expect(own.length % 2).toBe(0);
    }
    // Beyond that only what was on its way when the process died.
    expect(events.length / 2 - answered.size).toBeLessThanOrEqual(IN_FLIGHT * (round + 1));
  }
});

it('a full disk refuses appends as UNAVAILABLE, keeps what was answered, and takes smaller ones that fit', {
  timeout: 60_000,
}, async () => {
  const output = JSON.parse(await outputOf(startChild('fill', path, 8_000)));
  const { taken } = output;
  expect(taken).toBeGreaterThan(2);
  expect(output).toEqual({
    taken,
    outcomes: ['UNAVAILABLE', 'UNAVAILABLE', 'UNAVAILABLE'],
    revision: taken,
    place: taken + 1,
    readable: taken + 1,
  });
  const store = await open(path);
  const { revision } = await store.append('fill-1', [note('there is room again')], { expect: BigInt(taken) });
  expect(revision).toBe(BigInt(taken + 1));
  await store.close();
});

/** Has a process append until it has answered so many times, kills it, and gives all its answers. */
async function loadAndKill(answers: number): Promise<string[]> {
  const child = startChild('load', path);
  const ended = once(child, 'close');
  const lines: string[] = [];
  for await (const line of createInterface({ input: child.stdout! })) {
    lines.push(line);
    if (lines.length === answers) child.kill('SIGKILL');
  }
  await ended;
  expect(child.signalCode).toBe('SIGKILL');
  // The last line may have been cut off.
  return lines.filter((line) => /^load-\d+ \d+ \d{16}$/.test(line));
}
