import { describe, expect, it } from 'vitest';
import { isStoreError } from '../../src/kernel/errors.ts';
import type { EventMetadata } from '../../src/kernel/event.ts';
import {
  checkAppendSize,
  checkEventCount,
  checkEventId,
  checkExpectedRevision,
  checkFilter,
  checkLimit,
  checkPosition,
  checkRetention,
  checkRevision,
  checkStreamName,
} from '../../src/log/checks.ts';
import { createEventLog } from '../../src/log/create-event-log.ts';
import type { EventLog } from '../../src/log/event-log.ts';
import { PersonalKeys } from '../../src/log/personal-keys.ts';
import { type EventStore, MAX_APPEND_BYTES, type NewRecord } from '../../src/ports/event-store.ts';
import type { KeyStore } from '../../src/ports/keys.ts';
import { system } from '../support/stores.ts';
import { note, notes, testRegistry } from './fixtures.ts';

/** What a check accepts, and what it rejects with which message. Values of the wrong type stand for callers without types. */
type Check = Readonly<{
  name: string;
  check: (value: never) => unknown;
  accepted: readonly unknown[];
  rejected: readonly unknown[];
  message: string;
}>;

const UUID = '01890a5d-ac96-774b-bcce-b302099a8057';

const checks: readonly Check[] = [
  {
    name: 'checkStreamName',
    check: checkStreamName,
    accepted: ['a', 'user-1', 'a$b', 'with space', 'ä-😀', 'x'.repeat(200), '-', '\u0000'],
    rejected: ['', '$all', '$', 'x'.repeat(201), 'lone \ud800', '😀'.repeat(101)],
    message: 'a stream name must be 1 to 200 characters of well-formed text that does not start with $',
  },
  {
    name: 'checkExpectedRevision',
    check: checkExpectedRevision,
    accepted: ['none', 'exists', 'any', 0n, 1n, 2n ** 63n],
    rejected: [-1n, 'NONE', '', 0, undefined, null, 'toString'],
    message: 'invalid expected revision ',
  },
  {
    name: 'checkLimit',
    check: checkLimit,
    accepted: [undefined, 1, 512, 4_096],
    rejected: [0, -1, 4_097, 1.5, Number.NaN, Number.POSITIVE_INFINITY, '10', null],
    message: 'a limit must be a whole number from 1 to 4096, not ',
  },
  {
    name: 'checkRevision',
    check: checkRevision,
    accepted: [undefined, 0n, 1n, 2n ** 70n],
    rejected: [-1n, -(2n ** 64n)],
    message: 'revisions start at 0, not at ',
  },
  {
    name: 'checkPosition',
    check: checkPosition,
    accepted: [null, '0', '01', 'C:12/P:12', '~'.repeat(80)],
    rejected: ['', ' ', 'a b', '1\n', '\u0000', 'ä', 'x'.repeat(81)],
    message: 'invalid position',
  },
  {
    name: 'checkFilter',
    check: checkFilter,
    accepted: [undefined, { types: [] }, { types: ['A', 'B'] }, { categories: [] }, { categories: ['user'] }],
    rejected: [{ types: [''] }, { types: ['A', ''] }, { categories: [''] }, { types: [1] }, { categories: [null] }],
    message: 'a filter must name types or categories',
  },
  {
    name: 'checkRetention',
    check: checkRetention,
    accepted: [{}, { maxAgeMs: 1_000 }, { maxAgeMs: 86_400_000, maxCount: 1, truncateBefore: 0n }, { maxCount: 7 }],
    rejected: [
      { maxAgeMs: 0 },
      { maxAgeMs: 999 },
      { maxAgeMs: 1_001 },
      { maxAgeMs: -1_000 },
      { maxAgeMs: 2 ** 53 * 1_000 },
      { maxAgeMs: Number.NaN },
      { maxCount: 0 },
      { maxCount: 1.5 },
      { maxCount: 2 ** 53 },
      { truncateBefore: -1n },
      { maxAgeMs: 1_000, maxCount: 1, truncateBefore: -1n },
    ],
    message: 'a retention must have an age in whole seconds, a count from 1, and a revision from 0',
  },
  {
    name: 'checkEventCount',
    check: checkEventCount,
    accepted: [1, 2, 4_096],
    rejected: [0, 4_097],
    message: 'an append must have 1 to 4096 events, not ',
  },
  {
    name: 'checkEventId',
    check: checkEventId,
    accepted: [UUID, '00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff'],
    rejected: ['', UUID.toUpperCase(), UUID.replaceAll('-', ''), `{${UUID}}`, ` ${UUID}`, `${UUID}\n`, `${UUID}0`],
    message: "an event id must be a UUID in lower case, not '",
  },
];

describe.each(checks)('$name', ({ check, accepted, rejected, message }) => {
  it.each(accepted.map((value) => ({ value })))('accepts $value', ({ value }) => {
    expect(() => check(value as never)).not.toThrow();
  });

  it.each(rejected.map((value) => ({ value })))('rejects $value as INVALID', ({ value }) => {
    const invalid = { name: 'StoreError', code: 'INVALID', message: expect.stringContaining(message) };
    expect(() => check(value as never)).toThrow(expect.objectContaining(invalid));
  });
});

it('a limit is 512 when none is given', () => {
  expect([checkLimit(undefined), checkLimit(7)]).toEqual([512, 7]);
});

it('a revision to start at is null when none is given', () => {
  expect([checkRevision(undefined), checkRevision(7n)]).toEqual([null, 7n]);
});

describe('checkAppendSize', () => {
  const metadata: EventMetadata = { actor: null, correlationId: UUID, causationId: null, commandId: UUID };
  const overhead = 80 + 2 * UUID.length;
  const record = (data: string, more: Partial<EventMetadata> = {}): NewRecord => ({
    id: UUID,
    type: 'NoteTaken',
    schemaVersion: 1,
    data,
    metadata: { ...metadata, ...more },
  });
  const tooLarge = expect.objectContaining({
    code: 'INVALID',
    message: expect.stringMatching(/at most 1000000 bytes/),
  });

  it('accepts exactly 1,000,000 bytes of data and metadata, and rejects one more', () => {
    expect(() => checkAppendSize([record('x'.repeat(MAX_APPEND_BYTES - overhead))])).not.toThrow();
    expect(() => checkAppendSize([record('x'.repeat(MAX_APPEND_BYTES - overhead + 1))])).toThrow(tooLarge);
  });

  it('adds up all records', () => {
    const half = record('x'.repeat(MAX_APPEND_BYTES / 2 - overhead));
    expect(() => checkAppendSize([half, half])).not.toThrow();
    expect(() => checkAppendSize([half, half, record('{}')])).toThrow(tooLarge);
  });

  it('counts bytes of UTF-8, not characters', () => {
    expect(() => checkAppendSize([record('ä'.repeat(MAX_APPEND_BYTES / 2 - overhead))])).not.toThrow();
    expect(() => checkAppendSize([record('ä'.repeat(MAX_APPEND_BYTES / 2))])).toThrow(tooLarge);
    expect(() => checkAppendSize([record('😀'.repeat(MAX_APPEND_BYTES / 4))])).toThrow(tooLarge);
  });

  it('never counts fewer bytes for metadata than its JSON takes', () => {
    const id = 'a'.repeat(24);
    for (const more of [
      {},
      { actor: id },
      { causationId: UUID },
      { actor: id, causationId: UUID, correlationId: '' },
    ]) {
      const bytes = Buffer.byteLength(JSON.stringify({ ...metadata, ...more }));
      expect(() => checkAppendSize([record('x'.repeat(MAX_APPEND_BYTES - bytes + 1), more)])).toThrow(tooLarge);
    }
  });
});

describe('an event log', () => {
  /** A port of which every call fails the test. */
  const unused = <Port extends object>(): Port =>
    new Proxy({} as Port, {
      get: (_, method) => () => {
        throw new Error(`'${String(method)}' was called`);
      },
    });
  const keys = new PersonalKeys({ keys: unused<KeyStore>(), random: system.random });
  const log = createEventLog({ ...system, store: unused<EventStore>(), registry: testRegistry, keys });
  const first = (subscription: ReturnType<EventLog['subscribe']>) =>
    Promise.resolve().then(() => subscription[Symbol.asyncIterator]().next());

  const calls: Readonly<Record<string, () => Promise<unknown>>> = {
    'append to an invalid stream name': () => log.append('', [note('a')], { expect: 'any' }),
    'append with an invalid expected revision': () => log.append('a', [note('a')], { expect: -1n }),
    'append without events': () => log.append('a', [], { expect: 'any' }),
    'append with too many events': () => log.append('a', notes(4_097), { expect: 'any' }),
    'append with an invalid event id': () => log.append('a', [{ ...note('a'), id: '1' }], { expect: 'any' }),
    'append with too many bytes': () => log.append('a', [note('x'.repeat(MAX_APPEND_BYTES))], { expect: 'any' }),
    'encode without events': () => log.encode([]),
    'readStream of an invalid stream name': () => log.readStream('$all'),
    'readStream from an invalid revision': () => log.readStream('a', { from: -1n }),
    'readStream with an invalid limit': () => log.readStream('a', { limit: 0 }),
    'readAll from an invalid position': () => log.readAll({ direction: 'forwards', from: 'a b' }),
    'readAll with an invalid limit': () => log.readAll({ direction: 'forwards', from: null, limit: 4_097 }),
    'readAll with an invalid filter': () => log.readAll({ direction: 'forwards', from: null, filter: { types: [''] } }),
    'subscribe after an invalid position': () => first(log.subscribe({ after: '' })),
    'subscribe with an invalid batch size': () => first(log.subscribe({ after: null, batchSize: 0 })),
    'subscribe with an invalid filter': () => first(log.subscribe({ after: null, filter: { categories: [''] } })),
    'setRetention of an invalid stream name': () => log.setRetention('', {}),
    'setRetention with an invalid retention': () => log.setRetention('a', { maxCount: 0 }),
    'idAt of an invalid position': () => log.idAt(''),
    'countAfter of an invalid position': () => log.countAfter('a b'),
  };

  it.each(Object.entries(calls))('rejects %s as INVALID without a call to the store', async (_, call) => {
    await expect(call()).rejects.toSatisfy((error) => isStoreError(error, 'INVALID'));
  });
});
