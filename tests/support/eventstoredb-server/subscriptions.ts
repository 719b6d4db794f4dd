import type { ReadReq } from '@eventstore/db-client/generated/streams_pb.js';
import type { Faults } from './faults.ts';
import type { Filter } from './filter.ts';
import type { Log, LogRecord } from './log.ts';
import { caughtUpResponse, checkpointResponse, eventResponse, nameOf } from './messages.ts';
import type { Outlet } from './outlet.ts';
import { firstFrom, type Place, type Product, placeOf, startSubscription } from './positions.ts';

/** Maximum number of events in one page while catching up. */
const PAGE = 32;

export type FollowOptions = Readonly<{
  filter: Filter | null;
  product: Product;
  faults: Faults;
  outlet: Outlet;
  /** Sends the confirmation of the subscription. */
  confirm(): Promise<void>;
}>;

/** A subscription to the whole log after a position. Ends when the call is closed. */
export async function followAll(
  log: Log,
  source: ReadReq.Options.AllOptions,
  { filter, product, faults, outlet, confirm }: FollowOptions,
): Promise<void> {
  // KurrentDB confirms a subscription before it looks for the position.
  if (product === 'KurrentDB') await confirm();
  /** Offset from which records have not been examined. Records may be scavenged at any time, so that no index is kept. */
  let next = startSubscription(log, source, product);
  if (product === 'EventStoreDB') await confirm();
  /** Where the page begins, or the last event that was sent, whichever is later. */
  let reached: Place = placeOf(source) ?? { commit: 0, prepare: 0 };
  let examined = 0;

  const checkpoint = async ({ commit, prepare }: Place) => {
    if (filter === null) return;
    await outlet.write(checkpointResponse(commit, prepare));
    if (faults.repeatCheckpoints) await outlet.write(checkpointResponse(commit, prepare));
  };

  /** The next record of the log, which counts as examined then. */
  const take = (): LogRecord | undefined => {
    const record = log.records[firstFrom(log, next)];
    if (record !== undefined) next = record.end;
    return record;
  };

  async function catchUp(): Promise<void> {
    for (let page = 0, atEnd = false; !atEnd && !outlet.closed; page++) {
      // The checkpoint of a page without a matching event is its start: where the page before it ended, without the second part.
      if (page > 0 || product === 'EventStoreDB') reached = { commit: next, prepare: 0 };
      let sent = 0;
      for (let seen = 0; seen < (filter?.window ?? PAGE) && sent < PAGE; seen++, examined++) {
        const record = take();
        atEnd = record === undefined;
        if (record === undefined) break;
        if (filter?.matches(record) === false) continue;
        await outlet.write(eventResponse(record));
        reached = record;
        sent++;
      }
      // KurrentDB also sends a checkpoint at the end of the past.
      if (filter === null || (atEnd ? product === 'EventStoreDB' : examined < filter.interval)) continue;
      examined %= filter.interval;
      await checkpoint(reached);
    }
  }

  if (log.records[firstFrom(log, next)] !== undefined) await catchUp();
  await outlet.write(caughtUpResponse());
  while (!outlet.closed) {
    const record = take();
    if (record === undefined) {
      await outlet.until((wake) => log.onAppend(wake));
      continue;
    }
    if (filter === null || filter.matches(record)) await outlet.write(eventResponse(record));
    if (filter === null || ++examined < filter.interval) continue;
    examined = 0;
    await checkpoint(record);
  }
}

/** A subscription to one stream after a revision. Ends when the call is closed. */
export async function followStream(
  log: Log,
  source: ReadReq.Options.StreamOptions,
  { outlet, confirm }: Pick<FollowOptions, 'outlet' | 'confirm'>,
): Promise<void> {
  await confirm();
  const stream = nameOf(source.getStreamIdentifier());
  let next = source.hasStart() ? 0 : source.hasEnd() ? log.lastRevision(stream) + 1 : Number(source.getRevision()) + 1;
  let caughtUp = false;
  while (!outlet.closed) {
    const isVisible = log.visibility(stream);
    for (const record of log.of(stream).filter(({ revision }) => revision >= next)) {
      if (isVisible(record)) await outlet.write(eventResponse(record));
      next = record.revision + 1;
    }
    if (!caughtUp) await outlet.write(caughtUpResponse());
    caughtUp = true;
    if (next > log.lastRevision(stream)) await outlet.until((wake) => log.onAppend(wake));
  }
}
