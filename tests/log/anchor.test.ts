import { describe, expect, it } from 'vitest';
import { type Anchor, anchorOf, compareWithLog } from '../../src/log/anchor.ts';
import { manualClock } from '../support/manual-clock.ts';
import { newStream, notes, openTestStores } from './fixtures.ts';

const HOUR = 60 * 60_000;

/** A log on a clock of its own: ten events, one a minute, the even ones in a stream whose events may be removed. */
async function tenEvents() {
  const clock = manualClock();
  const stores = await openTestStores({ clock });
  const [kept, removable] = [newStream(), newStream()];
  for (let n = 0; n < 10; n++) {
    await clock.advance(60_000);
    await stores.log.append(n % 2 === 0 ? removable : kept, notes(1, `${n}`), { expect: 'any' });
  }
  const { events } = await stores.log.readAll({ direction: 'forwards', from: null });
  const anchors = events.map(anchorOf);
  const at = (n: number): Anchor => anchors[n] ?? expect.fail('no such event');
  const scavenge = async (): Promise<void> => {
    await stores.log.setRetention(removable, { truncateBefore: 5n });
    await stores.store.scavenge();
  };
  return { ...stores, clock, at, scavenge };
}

describe('comparing a log with anchors', () => {
  it('finds it the same when it has the last event, and when nothing was handled yet', async () => {
    const { log, clock, at } = await tenEvents();
    expect(await compareWithLog(log, { anchor: at(4), former: [] }, clock.now())).toEqual({
      isSame: true,
      shared: at(4),
    });
    expect(await compareWithLog(log, { anchor: null, former: [] }, clock.now())).toEqual({
      isSame: true,
      shared: null,
    });
  });

  it('finds it the same when retention has removed the last event, 48 hours after it was recorded', async () => {
    const { log, clock, at, scavenge } = await tenEvents();
    await clock.advance(48 * HOUR);
    await scavenge();
    expect(await log.idAt(at(4).position)).toBeNull();
    const anchors = { anchor: at(4), former: [at(0), at(1), at(2)] };
    expect(await compareWithLog(log, anchors, clock.now())).toEqual({ isSame: true, shared: at(1) });
    expect(await compareWithLog(log, { anchor: at(4), former: [] }, clock.now())).toEqual({
      isSame: true,
      shared: null,
    });
  });

  it('finds another one when an event is gone that is too young to be removed', async () => {
    const { log, clock, at, scavenge } = await tenEvents();
    await clock.advance(46 * HOUR);
    await scavenge();
    const comparison = await compareWithLog(log, { anchor: at(4), former: [at(0), at(1)] }, clock.now());
    expect(comparison).toEqual({ isSame: false, shared: at(1) });
  });

  it('finds another one when a younger event stands before the place of the one that is gone', async () => {
    const { log, clock, at, scavenge } = await tenEvents();
    await clock.advance(100 * HOUR);
    await scavenge();
    const lost = { ...at(4), id: 'lost', at: new Date(Date.parse(at(3).at) - 1).toISOString() };
    expect(await compareWithLog(log, { anchor: lost, former: [at(1)] }, clock.now())).toEqual({
      isSame: false,
      shared: at(1),
    });
  });

  it('finds another one when it ends before the last event, however old that is', async () => {
    const { log, clock, at } = await tenEvents();
    await clock.advance(100 * HOUR);
    const lost = { ...at(9), position: `${at(9).position.slice(0, -2)}99`, id: 'lost' };
    expect(await compareWithLog(log, { anchor: lost, former: [at(8)] }, clock.now())).toEqual({
      isSame: false,
      shared: at(8),
    });
  });

  it('finds another one when one of the former events is another, also when the last one may have been removed', async () => {
    const { log, clock, at, scavenge } = await tenEvents();
    await clock.advance(100 * HOUR);
    await scavenge();
    const anchors = { anchor: at(4), former: [at(1), { ...at(3), id: 'lost' }] };
    expect(await compareWithLog(log, anchors, clock.now())).toEqual({ isSame: false, shared: at(1) });
    expect(await compareWithLog(log, { anchor: { ...at(9), id: 'lost' }, former: [] }, clock.now())).toEqual({
      isSame: false,
      shared: null,
    });
  });
});
