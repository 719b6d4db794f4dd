import type { CommandMetadata } from '../../src/kernel/command.ts';
import { uuidv7 } from '../../src/kernel/ids.ts';

const START_MS = Date.parse('2026-01-01T00:00:00.000Z');

/** A 24-hex id. */
export const id = (n: number): string => n.toString(16).padStart(24, '0');

/** A UUID of version 4, which carries no time. */
export const uuid = (n: number): string => `00000000-0000-4000-8000-${n.toString(16).padStart(12, '0')}`;

const ms = (seconds: number): number => START_MS + Math.round(seconds * 1_000);

/** The time this many seconds after the start of the tests' time. */
export const at = (seconds: number): string => new Date(ms(seconds)).toISOString();

/** A UUIDv7 made this many seconds after the start. */
export const uuidAt = (seconds: number, n = 0): string => {
  const random = new Uint8Array(10);
  new DataView(random.buffer).setUint32(6, n);
  return uuidv7(ms(seconds), random);
};

export const [alice, bob, carol, dave] = [id(0xa), id(0xb), id(0xc), id(0xd)];

/** Metadata of a command by this user (`null`: the system), this many seconds after the start. */
export const by = (actor: string | null, seconds = 0): CommandMetadata => ({
  commandId: uuid(0xc0de),
  actor,
  at: at(seconds),
  correlationId: 'test',
  causationId: null,
});
