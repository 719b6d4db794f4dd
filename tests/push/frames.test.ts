import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { eventId } from '../../src/kernel/ids.ts';
import type { JsonObject } from '../../src/kernel/json.ts';
import {
  before,
  endOf,
  endOfEvent,
  formatFrameId,
  frameOf,
  isAfter,
  markOf,
  type Place,
  parseFrameId,
  redacted,
  resyncFrame,
} from '../../src/push/frames.ts';
import type { Notice } from '../../src/push/notices/notice.ts';

const epoch = '0197c0de-0000-7000-8000-000000000001';
const sqlite = '0000000000000042';
const eventStoreDb = '00000000000000004711-00000000000000004711';

const envelope = {
  id: '0197c0de-0000-7000-8000-000000000002',
  schemaVersion: 1,
  stream: 'conversation-x',
  revision: 3n,
  position: sqlite,
  recordedAt: '2026-01-01T00:00:00.000Z',
  metadata: { actor: 'a'.repeat(24), correlationId: 'c', causationId: null, commandId: 'd' },
};
const notice: Notice = { name: 'message:sent', rooms: ['conversation:x'], payload: { text: 'héllo' } };

describe('a frame id', () => {
  it.each([sqlite, eventStoreDb, 'with.dots"and\\more', '!'])('contains the whole position %s', (position) => {
    for (const index of [0, 7]) {
      const id = formatFrameId(epoch, { position, index });
      expect(id).toBe(`${epoch}.${position}.${index}`);
      expect(parseFrameId(id)).toStrictEqual({ epoch, position, index });
    }
    expect(formatFrameId(epoch, endOf(position))).toBe(`${epoch}.${position}.end`);
    expect(parseFrameId(`${epoch}.${position}.end`)).toStrictEqual({ epoch, ...endOf(position) });
    const marked = endOfEvent({ position, id: envelope.id });
    expect(formatFrameId(epoch, marked)).toBe(`${epoch}.${position}.end-${markOf(envelope.id)}`);
    expect(parseFrameId(formatFrameId(epoch, marked))).toStrictEqual({ epoch, ...marked });
  });

  it('of the start of the log comes before every position', () => {
    const start = parseFrameId(formatFrameId(epoch, endOf(null)));
    for (const position of [sqlite, eventStoreDb, '0']) {
      expect(start !== null && isAfter({ position, index: 0 }, start)).toBe(true);
    }
  });

  it.each([
    '',
    '.',
    'x',
    `${epoch}.${sqlite}`,
    `${epoch}..0`,
    `.${sqlite}.0`,
    `${epoch}.${sqlite}.-1`,
    `${epoch}.${sqlite}.1e3`,
    `${epoch}.${sqlite}.9999999999`,
    `${epoch}.${sqlite}.END`,
    `${epoch}.${sqlite}.0-`,
    `${epoch}.${sqlite}.0-0123456`,
    `${epoch}.${sqlite}.0-0123456X`,
    `${epoch}.${sqlite}.0-012345678`,
    `${epoch}.${sqlite} .0`,
    `${epoch}.${sqlite}.0\n`,
    `${epoch}.pösition.0`,
    `${'e'.repeat(37)}.${sqlite}.0`,
    `${epoch}.${'9'.repeat(81)}.0`,
  ])('is rejected when it is %j', (text) => {
    expect(parseFrameId(text)).toBeNull();
  });
});

it('the marks of events differ, also those of one command', () => {
  const ids = Array.from({ length: 500 }, (_, i) => eventId(envelope.id, i));
  expect(new Set(ids.map(markOf)).size).toBe(ids.length);
  for (const id of ids) expect(markOf(id)).toMatch(/^[0-9a-f]{8}$/);
});

it('places are ordered by position, then by frame, and the end of an event comes after all its frames', () => {
  const place = fc.record({ position: fc.constantFrom('0001', '0002', '0010'), index: fc.constantFrom(0, 1, 9) });
  fc.assert(
    fc.property(place, place, (a: Place, b: Place) => {
      const order = (p: Place) => Number(p.position) * 100 + p.index;
      expect(isAfter(a, b)).toBe(order(a) > order(b));
      expect(isAfter(endOf(a.position), a)).toBe(true);
      expect(isAfter(endOf(a.position), b)).toBe(a.position >= b.position);
    }),
  );
});

it('a frame contains the event, its user, its time and its place', () => {
  const frame = frameOf(epoch, envelope, notice, 1);
  expect(JSON.parse(frame.bytes.toString())).toStrictEqual({
    event: 'message:sent',
    id: `${epoch}.${sqlite}.1-${markOf(envelope.id)}`,
    at: '2026-01-01T00:00:00.000Z',
    user: { _id: 'a'.repeat(24) },
    payload: { text: 'héllo' },
  });
  expect(frame).toMatchObject({ position: sqlite, index: 1, name: 'message:sent', rooms: ['conversation:x'] });
  expect(isAfter(frame, before(frame))).toBe(true);
  expect(isAfter(frameOf(epoch, envelope, notice, 0), before(frame))).toBe(false);
});

it('a frame has no user when the system acted', () => {
  const bySystem = { ...envelope, metadata: { ...envelope.metadata, actor: null } };
  expect(JSON.parse(frameOf(epoch, bySystem, notice, 0).bytes.toString()).user).toBeNull();
});

it('a resync frame contains the position to read up to, and the id to go on from', () => {
  const { bytes } = resyncFrame(epoch, sqlite, '2026-01-01T00:00:00.000Z');
  expect(JSON.parse(bytes.toString())).toStrictEqual({
    event: 'resync',
    id: `${epoch}.${sqlite}.end`,
    at: '2026-01-01T00:00:00.000Z',
    user: null,
    payload: { position: sqlite },
  });
});

it('is encoded when its bytes are first read, and once', () => {
  let encoded = 0;
  const payload = Object.defineProperty({ text: 'héllo' }, 'toJSON', {
    value: () => {
      encoded++;
      return { text: 'héllo' };
    },
  });
  const frame = frameOf(epoch, envelope, { ...notice, payload }, 0);
  expect(encoded).toBe(0);
  expect(frame.bytes).toBe(frame.bytes);
  expect(JSON.parse(frame.bytes.toString()).payload).toStrictEqual({ text: 'héllo' });
  expect(encoded).toBe(1);
});

describe('the redacted frame', () => {
  const personal = {
    personId: 'a'.repeat(24),
    redact: (payload: JsonObject): JsonObject => ({ ...payload, text: null }),
  };
  const frame = frameOf(epoch, envelope, { ...notice, personal }, 1);

  it('has no personal text, and everything else as before', () => {
    const without = redacted(frame);
    const content = JSON.parse(frame.bytes.toString());
    expect(JSON.parse(without.bytes.toString())).toStrictEqual({ ...content, payload: { text: null } });
    const { position, index, name, rooms, personal } = without;
    expect({ position, index, name, rooms, personal }).toStrictEqual({
      position: frame.position,
      index: frame.index,
      name: frame.name,
      rooms: frame.rooms,
      personal: undefined,
    });
    // The order of the fields too.
    expect(without.bytes.toString()).toBe(frame.bytes.toString().replace('"héllo"', 'null'));
  });

  it('is the frame itself when it has no personal text, also after it was redacted', () => {
    const impersonal = frameOf(epoch, envelope, notice, 1);
    expect(redacted(impersonal)).toBe(impersonal);
    const without = redacted(frame);
    expect(redacted(without)).toBe(without);
  });

  it('leaves the original frame as it is', () => {
    redacted(frame);
    expect(JSON.parse(frame.bytes.toString()).payload).toStrictEqual({ text: 'héllo' });
  });
});
