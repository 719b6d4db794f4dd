import { describe, expect, it } from 'vitest';
import type { NewEvent } from '../../src/kernel/event.ts';
import { type EventStore, MAX_APPEND_BYTES, MAX_APPEND_EVENTS } from '../../src/ports/event-store.ts';
import { newEvent, newStream, note, notes } from './events.ts';

/** Appending: expectations, revisions, positions, all or none, and what is refused. */
export function appendContract(store: () => EventStore): void {
  const texts = async (stream: string) => (await store().readStream(stream)).events.map((event) => event.data.text);

  describe('expectations', () => {
    it('a stream is created with revision 0', async () => {
      const { revision } = await store().append(newStream(), [note('a')], { expect: 'none' });
      expect(revision).toBe(0n);
    });

    it('a second creation of a stream conflicts, and tells the last revision', async () => {
      const stream = newStream();
      await store().append(stream, notes(3), { expect: 'none' });
      await expect(store().append(stream, [note('second')], { expect: 'none' })).rejects.toMatchObject({
        name: 'StoreError',
        code: 'VERSION_CONFLICT',
        actual: 2n,
      });
      expect(await texts(stream)).toEqual(['note 0', 'note 1', 'note 2']);
    });

    it('two creations of a stream at once: one is appended, one conflicts', async () => {
      const stream = newStream();
      const outcomes = await Promise.allSettled(
        ['a', 'b'].map((text) => store().append(stream, [note(text)], { expect: 'none' })),
      );
      expect(outcomes.map((outcome) => outcome.status).sort()).toEqual(['fulfilled', 'rejected']);
      const refused = outcomes.find((outcome) => outcome.status === 'rejected');
      expect(refused?.reason).toMatchObject({ code: 'VERSION_CONFLICT', actual: 0n });
      expect(await texts(stream)).toHaveLength(1);
    });

    it('`exists` conflicts on a stream without events, and tells that there is none', async () => {
      await expect(store().append(newStream(), [note('a')], { expect: 'exists' })).rejects.toMatchObject({
        code: 'VERSION_CONFLICT',
        actual: null,
      });
    });

    it('`exists` appends behind whatever is there', async () => {
      const stream = newStream();
      await store().append(stream, notes(2), { expect: 'none' });
      const { revision } = await store().append(stream, [note('third')], { expect: 'exists' });
      expect(revision).toBe(2n);
    });

    it('`any` appends with and without events before', async () => {
      const stream = newStream();
      const first = await store().append(stream, [note('a')], { expect: 'any' });
      const second = await store().append(stream, [note('b')], { expect: 'any' });
      expect([first.revision, second.revision]).toEqual([0n, 1n]);
    });

    it('a revision must be the last one of the stream', async () => {
      const stream = newStream();
      await store().append(stream, notes(3), { expect: 'none' });
      const { revision } = await store().append(stream, [note('fourth')], { expect: 2n });
      expect(revision).toBe(3n);
    });

    it.each([0n, 1n, 3n, 100n])('a revision that is not the last one, %s of 2, conflicts', async (expected) => {
      const stream = newStream();
      await store().append(stream, notes(3), { expect: 'none' });
      await expect(store().append(stream, [note('x')], { expect: expected })).rejects.toMatchObject({
        code: 'VERSION_CONFLICT',
        actual: 2n,
      });
      expect(await texts(stream)).toHaveLength(3);
    });

    it('a revision conflicts on a stream without events', async () => {
      await expect(store().append(newStream(), [note('a')], { expect: 0n })).rejects.toMatchObject({
        code: 'VERSION_CONFLICT',
        actual: null,
      });
    });

    it('of many appends that expect the same revision at once exactly one wins', async () => {
      const stream = newStream();
      await store().append(stream, [note('first')], { expect: 'none' });
      const outcomes = await Promise.allSettled(
        Array.from({ length: 20 }, (_, n) => store().append(stream, [note(`try ${n}`)], { expect: 0n })),
      );
      const winners = outcomes.flatMap((outcome, n) => (outcome.status === 'fulfilled' ? [n] : []));
      expect(winners).toHaveLength(1);
      const refused = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason] : []));
      for (const error of refused) expect(error).toMatchObject({ code: 'VERSION_CONFLICT', actual: 1n });
      expect(await texts(stream)).toEqual(['first', `try ${winners[0]}`]);
    });

    it('a conflict harms no other append of the same moment', async () => {
      const [taken, ...free] = Array.from({ length: 11 }, () => newStream());
      await store().append(taken!, [note('first')], { expect: 'none' });
      const outcomes = await Promise.allSettled(
        [...free.slice(0, 5), taken!, ...free.slice(5)].map((stream) =>
          store().append(stream, [note('a')], { expect: 'none' }),
        ),
      );
      expect(outcomes.map((outcome) => outcome.status)).toEqual(
        Array.from({ length: 11 }, (_, n) => (n === 5 ? 'rejected' : 'fulfilled')),
      );
      for (const stream of free) expect(await texts(stream)).toEqual(['a']);
    });

    it.each(['none', 0n] as const)(
      'the identical append repeated with the expectation %s conflicts',
      async (expect_) => {
        const stream = newStream();
        if (expect_ !== 'none') await store().append(stream, [note('first')], { expect: 'none' });
        const events = notes(2);
        const { revision } = await store().append(stream, events, { expect: expect_ });
        const before = await texts(stream);
        const again = store().append(stream, events, { expect: expect_ });
        await expect(again).rejects.toMatchObject({ code: 'VERSION_CONFLICT', actual: revision });
        expect(await texts(stream)).toEqual(before);
      },
    );
  });

  describe('revisions and positions', () => {
    it('the events of a batch get consecutive revisions and ascending positions', async () => {
      const stream = newStream();
      await store().append(stream, notes(3), { expect: 'none' });
      const { revision } = await store().append(stream, notes(40), { expect: 2n });
      expect(revision).toBe(42n);
      const { events } = await store().readStream(stream);
      expect(events.map((event) => event.revision)).toEqual(Array.from({ length: 43 }, (_, n) => BigInt(n)));
      const positions = events.map((event) => event.position);
      expect(positions).toEqual([...new Set(positions)].sort());
    });

    it('the answer tells the revision and the position of the last event', async () => {
      const stream = newStream();
      const { revision, position } = await store().append(stream, notes(3), { expect: 'none' });
      const last = (await store().readStream(stream)).events.at(-1);
      expect({ revision, position }).toEqual({ revision: last?.revision, position: last?.position });
    });

    it('a position is behind everything that was in the log before, as a string', async () => {
      let before = await store().head();
      for (let n = 0; n < 25; n++) {
        const { position } = await store().append(newStream(), [note(String(n))], { expect: 'none' });
        if (before !== null) expect(position > before).toBe(true);
        expect(position).toMatch(/^[\x21-\x7e]+$/);
        before = position;
      }
    });

    it('the head of the log is at or behind every append that was answered', async () => {
      const { position } = await store().append(newStream(), [note('a')], { expect: 'none' });
      const head = await store().head();
      expect(head !== null && head >= position).toBe(true);
    });

    it('concurrent appends to one stream leave no gap and no double', async () => {
      const stream = newStream();
      const answers = await Promise.all(
        Array.from({ length: 50 }, (_, n) => store().append(stream, [note(String(n))], { expect: 'any' })),
      );
      const revisions = answers.map((answer) => answer.revision).sort((a, b) => Number(a - b));
      expect(revisions).toEqual(Array.from({ length: 50 }, (_, n) => BigInt(n)));
      const { events } = await store().readStream(stream);
      for (const [n, { revision, position }] of answers.entries()) {
        expect(events[Number(revision)]).toMatchObject({ data: { text: String(n) }, position });
      }
    });

    it('the epoch of a log stays the same', async () => {
      const epoch = await store().epoch();
      await store().append(newStream(), [note('a')], { expect: 'none' });
      expect(await store().epoch()).toBe(epoch);
      expect(epoch).toMatch(/^[A-Za-z0-9-]{1,36}$/);
    });
  });

  describe('what is refused', () => {
    const invalid: Record<string, () => NewEvent[]> = {
      'no event at all': () => [],
      'an unknown type': () => [note('a'), newEvent('NeverHeardOf', { text: 'b' })],
      'data that its schema refuses': () => [note('a'), newEvent('NoteTaken', { text: 7 })],
      'more events than fit': () => notes(MAX_APPEND_EVENTS + 1),
      'more bytes than fit': () => [note('x'.repeat(MAX_APPEND_BYTES / 2)), note('ü'.repeat(MAX_APPEND_BYTES / 4))],
    };

    it.each(Object.keys(invalid))('%s is invalid, and nothing of it is written', async (name) => {
      const stream = newStream();
      await expect(store().append(stream, invalid[name]!(), { expect: 'any' })).rejects.toMatchObject({
        name: 'StoreError',
        code: 'INVALID',
      });
      expect(await store().readStream(stream)).toEqual({ events: [], end: true });
    });

    it.each(['', '$system', `t-${'x'.repeat(200)}`, 't-\ud800'])('the stream name %j is invalid', async (stream) => {
      await expect(store().append(stream, [note('a')], { expect: 'any' })).rejects.toMatchObject({ code: 'INVALID' });
    });
  });
}
