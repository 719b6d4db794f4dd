import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createSharedRateLimit } from '../../src/http/request/rate-limits.ts';
import { MailAllowance } from '../../src/identity/mail-allowance.ts';
import { type Attempt, SignInThrottle } from '../../src/identity/sign-in-throttle.ts';
import type { Change, LimitKey, LimitStore } from '../../src/ports/limit-store.ts';
import { type ManualClock, manualClock } from '../support/manual-clock.ts';
import { service } from '../support/services.ts';

/** An adapter under test. */
export type LimitsAdapter = Readonly<{
  name: string;
  /** `true`, or the reason why it cannot be tested. */
  available: true | string;
  /** Provides storage for limits. */
  prepare(clock: ManualClock): Promise<LimitsPlace>;
}>;

export type LimitsPlace = Readonly<{
  /** Opens another store over the same storage, as another node would. */
  open(): Promise<LimitStore>;
  /** Closes all stores and removes the storage. */
  dispose(): Promise<void>;
}>;

const CLOSED = { name: 'StoreError', code: 'CLOSED' };
const HOUR_MS = 60 * 60_000;
const HOME = '192.0.2.1';

const increment: Change<number> = (state) => {
  const count = Number(state?.count ?? 0) + 1;
  return { result: count, next: { state: { count }, keepMs: 1_000 } };
};
const look: Change<unknown> = (state) => ({ result: state });

const numbersTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i + 1);
const ascending = (numbers: readonly number[]): readonly number[] => numbers.toSorted((a, b) => a - b);

/** The contract of `src/ports/limit-store.ts`, and the limits over it: the same for every adapter, without options. */
export function describeLimitsContract(adapter: LimitsAdapter): void {
  const isAvailable = service(adapter.name, adapter.available === true ? null : adapter.available);
  describe.skipIf(!isAvailable)(`limits contract: ${adapter.name}`, () => {
    const clock = manualClock(Date.now());
    let place: LimitsPlace | undefined;
    let store: LimitStore;
    let other: LimitStore;
    let key: LimitKey;
    beforeAll(async () => {
      place = await adapter.prepare(clock);
      [store, other] = [await place.open(), await place.open()];
    });
    beforeEach(() => {
      key = { kind: 'test', id: randomUUID() };
    });
    afterAll(() => place?.dispose());

    /** The limits of a node. */
    const shared = (of: LimitStore) => ({
      read: of.read.bind(of),
      update: of.update.bind(of),
      close: of.close.bind(of),
      awayMs: () => 0,
    });

    describe('a state', () => {
      it('is null at first, and then what the latest change returned, at every store', async () => {
        expect(await store.update(key, look)).toBeNull();
        expect(await store.update(key, increment)).toBe(1);
        expect(await other.update(key, increment)).toBe(2);
        expect(await store.update(key, look)).toEqual({ count: 2 });
        expect((await store.read([key])).states).toEqual([{ count: 2 }]);
      });

      it('belongs to its kind and id', async () => {
        await store.update(key, increment);
        const others = [
          { ...key, kind: 'test2' },
          { ...key, id: `${key.id} ` },
          { ...key, id: key.id.toUpperCase() },
        ];
        expect((await other.read([key, ...others])).states).toEqual([{ count: 1 }, null, null, null]);
      });

      it('can have an id with any characters, and numbers, fractions and lists', async () => {
        const odd = { ...key, id: `${key.id} ${'.$\n ü😀/'.repeat(40)}` };
        const state = { at: 1_790_000_000_000.5, list: [1, 2.5, Date.now()], none: [], zero: 0, negative: -3 };
        await store.update(odd, () => ({ result: null, next: { state, keepMs: 1_000 } }));
        expect((await other.read([odd])).states).toEqual([state]);
      });

      it('expires when it was not changed for as long as it is kept', async () => {
        await store.update(key, increment);
        await clock.advance(900);
        expect(await other.update(key, increment)).toBe(2);
        await clock.advance(999);
        expect((await store.read([key])).states).toEqual([{ count: 2 }]);
        await clock.advance(1);
        expect((await store.read([key])).states).toEqual([null]);
        expect(await store.update(key, increment)).toBe(1);
      });

      it('stays as it is, and does not live longer, when a change returns none', async () => {
        await store.update(key, increment);
        await clock.advance(999);
        expect(await other.update(key, look)).toEqual({ count: 1 });
        await clock.advance(1);
        expect(await other.update(key, look)).toBeNull();
      });

      it('can be removed', async () => {
        const removal: Change<string> = () => ({ result: 'removed', next: null });
        expect(await store.update(key, removal)).toBe('removed');
        await store.update(key, increment);
        expect(await other.update(key, removal)).toBe('removed');
        expect((await store.read([key])).states).toEqual([null]);
        expect(await store.update(key, increment)).toBe(1);
      });
    });

    it('loses no change of 200 that two nodes make at the same time', async () => {
      const counts = await Promise.all(numbersTo(200).map((i) => (i % 2 === 0 ? store : other).update(key, increment)));
      expect(ascending(counts)).toEqual(numbersTo(200));
    });

    it('loses no change of two nodes that make one after the other at the same time', async () => {
      const counts: number[] = [];
      const changeOften = async (node: LimitStore): Promise<void> => {
        for (let i = 0; i < 40; i++) counts.push(await node.update(key, increment));
      };
      await Promise.all([changeOften(store), changeOften(other)]);
      expect(ascending(counts)).toEqual(numbersTo(80));
    });

    it('gives every concurrent change its own result, also when some of them remove the state or change nothing', async () => {
      const changes: readonly Change<unknown>[] = [
        increment,
        increment,
        look,
        () => ({ result: 'removed', next: null }),
        look,
        increment,
      ];
      expect(await Promise.all(changes.map((change) => store.update(key, change)))).toEqual([
        1,
        2,
        { count: 2 },
        'removed',
        null,
        1,
      ]);
      expect((await other.read([key])).states).toEqual([{ count: 1 }]);
    });

    it('has the same time at every store', async () => {
      const [here, there] = [await store.read([]), await other.read([])];
      expect(there.now - here.now).toBe(0);
      await clock.advance(250);
      expect((await store.read([])).now - here.now).toBe(250);
    });

    describe('sign-ins over two nodes', () => {
      let nodes: readonly [SignInThrottle, SignInThrottle];
      let email: string;
      let home: string;
      beforeEach(() => {
        const secret = Buffer.alloc(32, 1);
        nodes = [new SignInThrottle(shared(store), secret, 5), new SignInThrottle(shared(other), secret, 5)];
        email = `${randomUUID()}@example.org`;
        // A network of its own for each test.
        home = `2001:db8:${randomUUID().slice(0, 4)}:${randomUUID().slice(0, 4)}::1`;
      });
      const begin = (i: number, from = home): Promise<Attempt | number> => {
        const node = i % 2 === 0 ? nodes[0] : nodes[1];
        return node.begin(email, from);
      };
      const waitOf = (outcome: Attempt | number): number => (typeof outcome === 'number' ? outcome : 0);

      it('are counted together', async () => {
        for (let i = 0; i < 5; i++) expect(waitOf(await begin(i))).toBe(0);
        expect(await begin(0)).toBe(1_000);
        expect(await begin(1)).toBe(1_000);
        expect(waitOf(await begin(0, HOME))).toBe(0);
      });

      it('have no advantage when 50 of them are made at the same time', async () => {
        const outcomes = await Promise.all(numbersTo(50).map((i) => begin(i)));
        expect(outcomes.filter((outcome) => typeof outcome !== 'number')).toHaveLength(5);
        // Those that were refused left no count: after the delay, the next failure causes the next delay.
        await clock.advance(1_000);
        expect(waitOf(await begin(0))).toBe(0);
        expect(await begin(1)).toBe(2_000);
      });

      it('are forgotten on both by the right password on one', async () => {
        for (let i = 0; i < 4; i++) await begin(i);
        const attempt = await begin(0);
        if (typeof attempt === 'number') throw new Error(`wait ${attempt} ms`);
        await nodes[0].succeeded(attempt);
        for (let i = 0; i < 5; i++) expect(waitOf(await begin(1))).toBe(0);
        expect(await begin(0)).toBe(1_000);
      });
    });

    it('allows mails of an address over two nodes, 2 in an hour and 5 in a day', async () => {
      const limits = { perHour: 2, perDay: 5 };
      const nodes = [new MailAllowance(shared(store), limits), new MailAllowance(shared(other), limits)];
      const take = (count: number) =>
        Promise.all(numbersTo(count).map(async (i) => ((await nodes[i % 2]?.take(key.id)) ? 1 : 0)));
      const sumOf = async (count: number) => (await take(count)).reduce<number>((sum, each) => sum + each, 0);
      expect(await sumOf(20)).toBe(2);
      await clock.advance(HOUR_MS - 1);
      expect(await sumOf(20)).toBe(0);
      await clock.advance(1);
      expect(await sumOf(20)).toBe(2);
      await clock.advance(HOUR_MS);
      expect(await sumOf(20)).toBe(1);
      await clock.advance(HOUR_MS);
      expect(await sumOf(20)).toBe(0);
      await clock.advance(21 * HOUR_MS);
      expect(await sumOf(20)).toBe(2);
    });

    it('allows requests of a network over two nodes, a burst at once and then a rate', async () => {
      const rate = { burst: 5, perMinute: 60 };
      const nodes = [store, other].map((each) => createSharedRateLimit(rate, shared(each), key.id));
      const takes = (count: number) => Promise.all(numbersTo(count).map((i) => nodes[i % 2]?.take('network')));
      const allowed = async (count: number) => (await takes(count)).filter((decision) => decision?.ok).length;
      expect(await allowed(50)).toBe(5);
      expect(await nodes[0]?.take('network')).toEqual({ ok: false, retryAfterMs: 1_000 });
      await clock.advance(2_000);
      expect(await allowed(50)).toBe(2);
      await clock.advance(HOUR_MS);
      expect(await allowed(50)).toBe(5);
    });

    it('rejects every call once it is closed, and can be closed again', async () => {
      const closed = (await place?.open()) as LimitStore;
      await closed.update(key, increment);
      await Promise.all([closed.close(), closed.close()]);
      await closed.close();
      await expect(closed.read([key])).rejects.toMatchObject(CLOSED);
      await expect(closed.update(key, increment)).rejects.toMatchObject(CLOSED);
      await expect(closed.update(key, increment)).rejects.toMatchObject(CLOSED);
    });
  });
}
