import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { Envelope } from '../../src/kernel/event.ts';
import type { JsonObject } from '../../src/kernel/json.ts';
import { Fifo } from '../../src/push/fifo.ts';
import { before, endOf, type Frame, frameOf, isAfter, type Place, redacted } from '../../src/push/frames.ts';
import { ResumeBuffer } from '../../src/push/resume-buffer.ts';

const LIMITS = { frames: 1_000, bytes: 1_000_000, ageMs: 60_000 };

const at = (n: number): string => String(n).padStart(4, '0');
const frame = (position: number, index: number, rooms: readonly string[], size = 10): Frame =>
  frameOf(
    'epoch',
    envelopeAt(at(position)),
    { name: 'test', rooms, payload: { by: 'p', text: 'x'.repeat(size) } },
    index,
  );
const envelopeAt = (position: string): Envelope => ({
  id: '0197c0de-0000-7000-8000-000000000002',
  schemaVersion: 1,
  stream: 'conversation-x',
  revision: 0n,
  position,
  recordedAt: '2026-01-01T00:00:00.000Z',
  metadata: { actor: 'p', correlationId: 'c', causationId: null, commandId: 'd' },
});
const withoutText = (payload: JsonObject): JsonObject => ({ ...payload, text: null });
/** The same frame with text of a person. */
const personalFrame = (of: Frame, personId: string): Frame => {
  const { by, text } = JSON.parse(of.bytes.toString()).payload;
  const personal = { personId, redact: withoutText };
  return frameOf(
    'epoch',
    envelopeAt(of.position),
    { name: of.name, rooms: of.rooms, payload: { by, text }, personal },
    of.index,
  );
};
/** What can be seen of frames, however they are made. */
const shown = (frames: readonly (Frame | undefined)[] | null) =>
  frames?.map(
    (one) =>
      one && { ...place(one), name: one.name, rooms: one.rooms, personal: one.personal, text: one.bytes.toString() },
  ) ?? null;
const place = ({ position, index }: Place): Place => ({ position, index });
const everything = (rooms: Iterable<string>): ReadonlyMap<string, string> =>
  new Map([...rooms].map((room) => [room, '']));
const START = endOf(null);

it('a queue returns its items in order', () => {
  const step = fc.oneof(fc.nat(), fc.constant('shift' as const));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const fifo = new Fifo<number>();
      const model: number[] = [];
      for (const one of steps) {
        if (one === 'shift') expect(fifo.shift()).toBe(model.shift());
        else {
          fifo.push(one);
          model.push(one);
        }
        expect(fifo.length).toBe(model.length);
        expect([fifo.at(0), fifo.at(model.length - 1), fifo.at(model.length)]).toStrictEqual([
          model[0],
          model.at(-1),
          undefined,
        ]);
      }
    }),
  );
});

it('a frame of several rooms is read once, in the order of the log', () => {
  const buffer = new ResumeBuffer(LIMITS, START);
  const frames = [frame(1, 0, ['b']), frame(2, 0, ['a', 'b']), frame(3, 0, ['c']), frame(4, 0, ['a'])];
  for (const one of frames) buffer.add(one, 0);
  expect(shown(buffer.read(everything(['a', 'b']), START, 10))).toStrictEqual(shown([frames[0], frames[1], frames[3]]));
});

it('only the frames since the user is in the room are read', () => {
  const buffer = new ResumeBuffer(LIMITS, START);
  const frames = [frame(1, 0, ['a']), frame(2, 0, ['a']), frame(3, 0, ['a'])];
  for (const one of frames) buffer.add(one, 0);
  expect(shown(buffer.read(new Map([['a', at(2)]]), START, 10))).toStrictEqual(shown([frames[1], frames[2]]));
});

it('the read returns null when there are more frames than the limit', () => {
  const buffer = new ResumeBuffer(LIMITS, START);
  for (let n = 1; n <= 5; n++) buffer.add(frame(n, 0, ['a']), 0);
  expect(buffer.read(everything(['a']), START, 5)).toHaveLength(5);
  expect(buffer.read(everything(['a']), START, 4)).toBeNull();
});

it('of the frames of one event, those after the last received one are read', () => {
  const buffer = new ResumeBuffer(LIMITS, START);
  const frames = [0, 1, 2].map((index) => frame(1, index, ['a']));
  for (const one of frames) buffer.add(one, 0);
  expect(shown(buffer.read(everything(['a']), { position: at(1), index: 0 }, 10))).toStrictEqual(
    shown(frames.slice(1)),
  );
  expect(shown(buffer.read(everything(['a']), endOf(at(1)), 10))).toStrictEqual(shown([]));
});

it('it does not reach back to a place before a dropped frame, also within one event', () => {
  const buffer = new ResumeBuffer({ ...LIMITS, frames: 1 }, START);
  const [first, second, third] = [frame(1, 0, ['a']), frame(1, 1, ['a']), frame(2, 0, ['a'])];
  for (const one of [first, second, third]) buffer.add(one, 0);
  expect(buffer.reachesBackTo(START)).toBe(false);
  expect(buffer.reachesBackTo(first)).toBe(false);
  expect(buffer.reachesBackTo(second)).toBe(true);
  expect(buffer.reachesBackTo(endOf(at(1)))).toBe(true);
});

it('frames that are too old are dropped by trim', () => {
  const buffer = new ResumeBuffer({ ...LIMITS, ageMs: 100 }, START);
  buffer.add(frame(1, 0, ['a']), 0);
  buffer.add(frame(2, 0, ['a']), 50);
  buffer.trim(100);
  expect(buffer.size).toBe(2);
  buffer.trim(101);
  expect(buffer.size).toBe(1);
  buffer.trim(1_000);
  expect(buffer.size).toBe(0);
});

it('a forgotten room loses its earlier frames, and keeps its later ones', () => {
  const buffer = new ResumeBuffer({ ...LIMITS, frames: 3 }, START);
  buffer.add(frame(1, 0, ['a', 'b']), 0);
  buffer.add(frame(2, 0, ['a']), 0);
  buffer.forget('a');
  const end = frame(3, 0, ['a']);
  buffer.add(end, 0);
  expect(shown(buffer.read(everything(['a']), START, 10))).toStrictEqual(shown([end]));
  // Those before it are dropped now, and it is not.
  for (let n = 4; n <= 5; n++) buffer.add(frame(n, 0, ['c']), 0);
  expect(shown(buffer.read(everything(['a', 'b']), endOf(at(2)), 10))).toStrictEqual(shown([end]));
});

it('text of a person is removed from all frames, and their order and places stay', () => {
  const buffer = new ResumeBuffer(LIMITS, START);
  const frames = [
    personalFrame(frame(1, 0, ['a']), 'ann'),
    personalFrame(frame(2, 0, ['a']), 'bob'),
    frame(3, 0, ['a']),
    personalFrame(frame(4, 0, ['b']), 'ann'),
    personalFrame(frame(4, 1, ['a', 'b']), 'ann'),
  ] as const;
  for (const one of frames) buffer.add(one, 0);
  buffer.redact('ann');
  buffer.redact('ann');
  const [first, second, third, fourth, fifth] = frames;
  const expected = [redacted(first), second, third, redacted(fourth), redacted(fifth)];
  expect(shown(buffer.read(everything(['a', 'b']), START, 10))).toStrictEqual(shown(expected));
  expect(buffer.size).toBe(5);
  // What was read before the redaction is not changed.
  expect(JSON.parse(first.bytes.toString()).payload).toStrictEqual({ by: 'p', text: 'x'.repeat(10) });
});

it('bytes of removed text are free for other frames', () => {
  const first = personalFrame(frame(1, 0, ['a'], 100), 'ann');
  const buffer = new ResumeBuffer({ ...LIMITS, bytes: first.size + redacted(first).size }, START);
  buffer.add(first, 0);
  buffer.redact('ann');
  const second = frame(2, 0, ['a'], 100);
  buffer.add(second, 0);
  expect(shown(buffer.read(everything(['a']), START, 10))).toStrictEqual(shown([redacted(first), second]));
  buffer.add(frame(3, 0, ['a'], 0), 0);
  expect(buffer.size).toBe(2);
  expect(buffer.reachesBackTo(START)).toBe(false);
});

it('it holds the latest frames within its limits, and reads what a search through all of them would find', () => {
  const rooms = ['a', 'b', 'c'];
  const step = fc.record({
    rooms: fc.subarray(rooms, { minLength: 1 }),
    frames: fc.integer({ min: 1, max: 3 }),
    size: fc.integer({ min: 1, max: 40 }),
    personId: fc.constantFrom('ann', 'bob', null),
    forget: fc.option(fc.constantFrom(...rooms), { freq: 12 }),
    redact: fc.option(fc.constantFrom('ann', 'bob'), { freq: 12 }),
  });
  const look = fc.record({ rooms: fc.subarray(rooms), from: fc.nat(60), index: fc.nat(2), since: fc.nat(60) });
  const limits = { frames: 20, bytes: 5_000, ageMs: 12 };
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.array(look, { maxLength: 10 }), (steps, looks) => {
      const buffer = new ResumeBuffer(limits, START);
      let all: { frame: Frame; ms: number; rooms: string[] }[] = [];
      let dropped: Place = START;
      for (const [ms, { rooms: its, frames, size, personId, forget, redact }] of steps.entries()) {
        if (forget !== null) {
          buffer.forget(forget);
          all = all.map((one) => ({ ...one, rooms: one.rooms.filter((room) => room !== forget) }));
        }
        if (redact !== null) {
          buffer.redact(redact);
          const change = (one: Frame) => (one.personal?.personId === redact ? redacted(one) : one);
          all = all.map((one) => ({ ...one, frame: change(one.frame) }));
        }
        for (let index = 0; index < frames; index++) {
          const plain = frame(ms, index, its, size);
          const added = personId === null ? plain : personalFrame(plain, personId);
          buffer.add(added, ms);
          all.push({ frame: added, ms, rooms: its });
          const bytes = () => all.reduce((sum, one) => sum + one.frame.size, 0);
          while (all[0] && (all.length > limits.frames || bytes() > limits.bytes || ms - all[0].ms > limits.ageMs)) {
            dropped = all.shift()?.frame ?? dropped;
          }
        }
      }
      expect(buffer.size).toBe(all.length);
      for (const { rooms: mine, from, index, since } of looks) {
        const place = { position: at(from), index };
        expect(buffer.reachesBackTo(place)).toBe(!isAfter(dropped, place));
        const expected = all
          .filter((one) => one.rooms.some((room) => mine.includes(room)))
          .map((one) => one.frame)
          .filter((one) => isAfter(one, place) && one.position >= at(since));
        const sinces = new Map(mine.map((room) => [room, at(since)]));
        expect(shown(buffer.read(sinces, place, 100))).toStrictEqual(shown(expected));
      }
    }),
  );
});

it('the place before a frame is after the frame before it', () => {
  const next = frame(7, 2, ['a']);
  expect(before(next)).toStrictEqual({ position: at(7), index: 1 });
});
