import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  before,
  endOf,
  formatFrameId,
  frameOf,
  isBehind,
  type Place,
  parseFrameId,
  resyncFrame,
} from '../../src/push/frames.ts';
import type { Notice } from '../../src/push/notices.ts';

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

describe('the id of a frame', () => {
  it.each([sqlite, eventStoreDb, 'with.dots"and\\more', '!'])('carries the position %s whole', (position) => {
    for (const index of [0, 7]) {
      const id = formatFrameId(epoch, { position, index });
      expect(id).toBe(`${epoch}.${position}.${index}`);
      expect(parseFrameId(id)).toStrictEqual({ epoch, position, index });
    }
    expect(formatFrameId(epoch, endOf(position))).toBe(`${epoch}.${position}.end`);
    expect(parseFrameId(`${epoch}.${position}.end`)).toStrictEqual({ epoch, ...endOf(position) });
  });

  it('of the start of the log is before every position', () => {
    const start = parseFrameId(formatFrameId(epoch, endOf(null)));
    for (const position of [sqlite, eventStoreDb, '0']) {
      expect(start !== null && isBehind({ position, index: 0 }, start)).toBe(true);
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
    `${epoch}.${sqlite} .0`,
    `${epoch}.${sqlite}.0\n`,
    `${epoch}.pösition.0`,
    `${'e'.repeat(37)}.${sqlite}.0`,
    `${epoch}.${'9'.repeat(81)}.0`,
  ])('is not %j', (text) => {
    expect(parseFrameId(text)).toBeNull();
  });
});

it('places are ordered by position, then by frame, and the end of an event is behind all its frames', () => {
  const place = fc.record({ position: fc.constantFrom('0001', '0002', '0010'), index: fc.constantFrom(0, 1, 9) });
  fc.assert(
    fc.property(place, place, (a: Place, b: Place) => {
      const order = (p: Place) => Number(p.position) * 100 + p.index;
      expect(isBehind(a, b)).toBe(order(a) > order(b));
      expect(isBehind(endOf(a.position), a)).toBe(true);
      expect(isBehind(endOf(a.position), b)).toBe(a.position >= b.position);
    }),
  );
});

it('a frame says what happened, who did it and when, and where it stands', () => {
  const frame = frameOf(epoch, envelope, notice, 1);
  expect(JSON.parse(frame.bytes.toString())).toStrictEqual({
    event: 'message:sent',
    id: `${epoch}.${sqlite}.1`,
    at: '2026-01-01T00:00:00.000Z',
    user: { _id: 'a'.repeat(24) },
    payload: { text: 'héllo' },
  });
  expect(frame).toMatchObject({ position: sqlite, index: 1, name: 'message:sent', rooms: ['conversation:x'] });
  expect(isBehind(frame, before(frame))).toBe(true);
  expect(isBehind(frameOf(epoch, envelope, notice, 0), before(frame))).toBe(false);
});

it('what the system did has no user', () => {
  const bySystem = { ...envelope, metadata: { ...envelope.metadata, actor: null } };
  expect(JSON.parse(frameOf(epoch, bySystem, notice, 0).bytes.toString()).user).toBeNull();
});

it('a resync says what to read up to, and where to go on', () => {
  const { bytes } = resyncFrame(epoch, sqlite, '2026-01-01T00:00:00.000Z');
  expect(JSON.parse(bytes.toString())).toStrictEqual({
    event: 'resync',
    id: `${epoch}.${sqlite}.end`,
    at: '2026-01-01T00:00:00.000Z',
    user: null,
    payload: { position: sqlite },
  });
});
