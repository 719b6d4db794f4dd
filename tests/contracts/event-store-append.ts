import { describe, expect, it } from 'vitest';
import type { EventStore } from '../../src/ports/event-store.ts';
import { newStream, note, notes, textsOf } from './events.ts';
import { readStream } from './following.ts';

/** Appends: expected revisions, assigned revisions and positions, atomicity. */
export function appendContract(store: () => EventStore): void {
  const texts = async (stream: string) => textsOf((await readStream(store(), stream)).records);

  describe('the expected revision of an append', () => {
    it('`none` creates a stream, whose first revision is 0', async () => {
      const { revision } = await store().append(newStream(), [note('a')], { expect: 'none' });
      expect(revision).toBe(0n);
    });

    it('`none` conflicts on a stream with records, and the error has its last revision', async () => {
      const stream = newStream();
      await store().append(stream, notes(3), { expect: 'none' });
      await expect(store().append(stream, [note('second')], { expect: 'none' })).rejects.toMatchObject({
        name: 'StoreError',
        code: 'VERSION_CONFLICT',
        actual: 2n,
      });
      expect(await texts(stream)).toEqual(['note 0', 'note 1', 'note 2']);
    });

    it('of two concurrent appends that expect `none`, one is written and one conflicts', async () => {
      const stream = newStream();
      const outcomes = await Promise.allSettled(
        ['a', 'b'].map((text) => store().append(stream, [note(text)], { expect: 'none' })),
      );
      expect(outcomes.map((outcome) => outcome.status).sort()).toEqual(['fulfilled', 'rejected']);
      const rejected = outcomes.find((outcome) => outcome.status === 'rejected');
      expect(rejected?.reason).toMatchObject({ code: 'VERSION_CONFLICT', actual: 0n });
      expect(await texts(stream)).toHaveLength(1);
    });

    it('`exists` conflicts on a stream without records, and the error has no revision', async () => {
      await expect(store().append(newStream(), [note('a')], { expect: 'exists' })).rejects.toMatchObject({
        code: 'VERSION_CONFLICT',
        actual: null,
      });
    });

    it('`exists` appends to a stream with records', async () => {
      const stream = newStream();
      await store().append(stream, notes(2), { expect: 'none' });
      const { revision } = await store().append(stream, [note('third')], { expect: 'exists' });
      expect(revision).toBe(2n);
    });

    it('`any` appends to a stream with and without records', async () => {
      const stream = newStream();
      const first = await store().append(stream, [note('a')], { expect: 'any' });
      const second = await store().append(stream, [note('b')], { expect: 'any' });
      expect([first.revision, second.revision]).toEqual([0n, 1n]);
    });

    it('the last revision of the stream is accepted', async () => {
      const stream = newStream();
      await store().append(stream, notes(3), { expect: 'none' });
      const { revision } = await store().append(stream, [note('fourth')], { expect: 2n });
      expect(revision).toBe(3n);
    });

    it.each([0n, 1n, 3n, 100n])('revision %s conflicts when the last one is 2', async (expected) => {
      const stream = newStream();
      await store().append(stream, notes(3), { expect: 'none' });
      await expect(store().append(stream, [note('x')], { expect: expected })).rejects.toMatchObject({
        code: 'VERSION_CONFLICT',
        actual: 2n,
      });
      expect(await texts(stream)).toHaveLength(3);
    });

    it('a revision conflicts on a stream without records', async () => {
      await expect(store().append(newStream(), [note('a')], { expect: 0n })).rejects.toMatchObject({
        code: 'VERSION_CONFLICT',
        actual: null,
      });
    });

    it('of many concurrent appends that expect the same revision, exactly one is written', async () => {
      const stream = newStream();
      await store().append(stream, [note('first')], { expect: 'none' });
      const outcomes = await Promise.allSettled(
        Array.from({ length: 20 }, (_, n) => store().append(stream, [note(`try ${n}`)], { expect: 0n })),
      );
      const written = outcomes.flatMap((outcome, n) => (outcome.status === 'fulfilled' ? [n] : []));
      expect(written).toHaveLength(1);
      const errors = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason] : []));
      for (const error of errors) expect(error).toMatchObject({ code: 'VERSION_CONFLICT', actual: 1n });
      expect(await texts(stream)).toEqual(['first', `try ${written[0]}`]);
    });

    it('a conflict does not affect concurrent appends', async () => {
      const [existing, ...free] = Array.from({ length: 11 }, () => newStream());
      await store().append(existing!, [note('first')], { expect: 'none' });
      const outcomes = await Promise.allSettled(
        [...free.slice(0, 5), existing!, ...free.slice(5)].map((stream) =>
          store().append(stream, [note('a')], { expect: 'none' }),
        ),
      );
      expect(outcomes.map((outcome) => outcome.status)).toEqual(
        Array.from({ length: 11 }, (_, n) => (n === 5 ? 'rejected' : 'fulfilled')),
      );
      for (const stream of free) expect(await texts(stream)).toEqual(['a']);
    });

    it.each(['none', 0n] as const)(
      'an append that is repeated identically, with the expected revision %s, conflicts',
      async (expected) => {
        const stream = newStream();
        if (expected !== 'none') await store().append(stream, [note('first')], { expect: 'none' });
        const records = notes(2);
        const { revision } = await store().append(stream, records, { expect: expected });
        const before = await texts(stream);
        const again = store().append(stream, records, { expect: expected });
        await expect(again).rejects.toMatchObject({ code: 'VERSION_CONFLICT', actual: revision });
        expect(await texts(stream)).toEqual(before);
      },
    );
  });

  describe('revisions and positions', () => {
    it('the records of an append get consecutive revisions and ascending positions', async () => {
      const stream = newStream();
      await store().append(stream, notes(3), { expect: 'none' });
      const { revision } = await store().append(stream, notes(40), { expect: 2n });
      expect(revision).toBe(42n);
      const { records } = await readStream(store(), stream);
      expect(records.map((record) => record.revision)).toEqual(Array.from({ length: 43 }, (_, n) => BigInt(n)));
      const positions = records.map((record) => record.position);
      expect(positions).toEqual([...new Set(positions)].sort());
    });

    it('an append resolves with the revision and the position of its last record', async () => {
      const stream = newStream();
      const { revision, position } = await store().append(stream, notes(3), { expect: 'none' });
      const last = (await readStream(store(), stream)).records.at(-1);
      expect({ revision, position }).toEqual({ revision: last?.revision, position: last?.position });
    });

    it('a position compares, as a string, as later than all earlier ones', async () => {
      let before = await store().head();
      for (let n = 0; n < 25; n++) {
        const { position } = await store().append(newStream(), [note(String(n))], { expect: 'none' });
        if (before !== null) expect(position > before).toBe(true);
        expect(position).toMatch(/^[\x21-\x7e]+$/);
        before = position;
      }
    });

    it('the head of the log is at or after every append that was resolved', async () => {
      const { position } = await store().append(newStream(), [note('a')], { expect: 'none' });
      const head = await store().head();
      expect(head !== null && head >= position).toBe(true);
    });

    it('concurrent appends to one stream get revisions without gaps and duplicates', async () => {
      const stream = newStream();
      const results = await Promise.all(
        Array.from({ length: 50 }, (_, n) => store().append(stream, [note(String(n))], { expect: 'any' })),
      );
      const revisions = results.map((result) => result.revision).sort((a, b) => Number(a - b));
      expect(revisions).toEqual(Array.from({ length: 50 }, (_, n) => BigInt(n)));
      const { records } = await readStream(store(), stream);
      for (const [n, { revision, position }] of results.entries()) {
        expect(records[Number(revision)]).toMatchObject({ data: JSON.stringify({ text: String(n) }), position });
      }
    });

    it('the epoch of a log stays the same', async () => {
      const epoch = await store().epoch();
      await store().append(newStream(), [note('a')], { expect: 'none' });
      expect(await store().epoch()).toBe(epoch);
      expect(epoch).toMatch(/^[A-Za-z0-9-]{1,36}$/);
    });
  });
}
