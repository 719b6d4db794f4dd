import { afterEach, beforeEach, expect, it } from 'vitest';
import { followerCheck } from '../../src/compose/readiness.ts';
import { StoreError } from '../../src/kernel/errors.ts';
import { Leases } from '../../src/log/lease.ts';
import type { DocumentStore } from '../../src/ports/documents.ts';
import type { ReactionLease } from '../../src/reactions/reaction-runner.ts';
import { manualClock } from '../support/manual-clock.ts';
import { type MemoryStores, openMemoryStores, system } from '../support/stores.ts';
import { recording, start, unless, until } from './world.ts';

let stores: MemoryStores;
beforeEach(async () => {
  stores = await openMemoryStores();
});
afterEach(() => stores.close());

/** The documents of the stores, whose writes can be made to fail. */
function withFaults(documents: DocumentStore) {
  const faults = { isReadOnly: false };
  const apply: DocumentStore['apply'] = async (batch) => {
    if (faults.isReadOnly) throw new StoreError('UNAVAILABLE', 'the documents cannot be written');
    return documents.apply(batch);
  };
  const store: DocumentStore = { ...unless(() => false, documents), apply };
  return { faults, store };
}

it('a lease that cannot be taken is reported, and one that another node has is not', async () => {
  const { log } = stores;
  const { faults, store: documents } = withFaults(stores.documents);
  const clock = manualClock();
  const leaseOf = (node: string) => new Leases({ ...system, clock, documents, role: 'mail', node, partitions: 1 });
  const { reaction } = recording();
  const [lease, other] = [leaseOf('a'), leaseOf('b')];
  const node = await start({ log, documents }, reaction, clock, lease);
  const { name, check } = followerCheck('recording', () => node.runner.status());
  expect(name).toBe('follower:recording');
  await until('it runs', async () => (await node.runner.status())?.state === 'live');
  expect(await check()).toBeNull();
  const standby = await start({ log, documents }, reaction, clock, other);
  const standbyCheck = followerCheck('recording', () => standby.runner.status());
  for (let n = 0; n < 5; n++) await clock.advance(1_000);
  expect([await standby.runner.status(), await standbyCheck.check()]).toEqual([null, null]);

  // Neither can renew or take the lease: the work ends when it has expired.
  faults.isReadOnly = true;
  await until('the lease has expired', async () => {
    await clock.advance(1_000);
    return lease.unavailable !== null && (await check()) === 'the documents cannot be written';
  });
  await until('the other node reports it too', async () => {
    await clock.advance(1_000);
    return (await standbyCheck.check()) === 'the documents cannot be written';
  });
  faults.isReadOnly = false;
  await until('one of them runs again', async () => {
    await clock.advance(1_000);
    return (await check()) === null && (await standbyCheck.check()) === null;
  });
  await Promise.all([node.stop(), standby.stop()]);
  expect(await node.runner.status()).toBeNull();
});

it('a reaction that cannot start is reported, until it has started or another node may have', async () => {
  const { documents } = stores;
  const faults = { isAway: false };
  const log: MemoryStores['log'] = {
    ...stores.log,
    async epoch() {
      if (faults.isAway) throw new StoreError('UNAVAILABLE', 'the log cannot be read');
      return stores.log.epoch();
    },
  };
  let fence = 0;
  let give = Promise.withResolvers<void>();
  const lease: ReactionLease = {
    unavailable: null,
    async run(signal, work) {
      const aborted = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
      while (!signal.aborted) {
        await Promise.race([give.promise, aborted]);
        give = Promise.withResolvers();
        if (!signal.aborted) await work({ partition: 0, fence: ++fence, lost: signal }).catch(() => {});
      }
    },
  };
  const { reaction } = recording();
  const node = await start({ log, documents }, reaction, manualClock(), lease);
  expect(await node.runner.status()).toBeNull();
  faults.isAway = true;
  give.resolve();
  await until('the failure is reported', async () => (await node.runner.status()) !== null);
  const failed = { name: 'recording', state: 'retrying', position: null, lastError: 'the log cannot be read' };
  expect(await node.runner.status()).toMatchObject(failed);
  await node.clock.advance(14_999);
  expect(await node.runner.status()).toMatchObject(failed);
  await node.clock.advance(1);
  expect(await node.runner.status()).toBeNull();

  give.resolve();
  await until('it has failed again', async () => (await node.runner.status()) !== null);
  faults.isAway = false;
  give.resolve();
  await until('it runs', async () => (await node.runner.status())?.state === 'live');
  await node.stop();
  expect(await node.runner.status()).toBeNull();
});
