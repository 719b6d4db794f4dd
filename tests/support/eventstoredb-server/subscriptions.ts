import type { ReadReq } from '@eventstore/db-client/generated/streams_pb.js';
import type { Faults } from './faults.ts';
import type { Filter } from './filter.ts';
import type { Log, LogRecord } from './log.ts';
import { caughtUpResponse, checkpointResponse, eventResponse, nameOf } from './messages.ts';
import type { Outlet } from './outlet.ts';
import { atOrAfter } from './positions.ts';

/** Maximum number of events in one page while catching up. */
const PAGE = 32;

/** A subscription to the whole log after a position. Ends when the call is closed. */
export async function followAll(
  log: Log,
  source: ReadReq.Options.AllOptions,
  { filter, faults, outlet }: { filter: Filter | null; faults: Faults; outlet: Outlet },
): Promise<void> {
  // As EventStoreDB 23.10 does: after the first record that is at the position or after it.
  let next = atOrAfter(log, source) + (source.hasPosition() ? 1 : 0);
  let examined = 0;

  const checkpoint = async (commit: number, prepare: number) => {
    if (filter === null) return;
    await outlet.write(checkpointResponse(commit, prepare));
    if (faults.repeatCheckpoints) await outlet.write(checkpointResponse(commit, prepare));
  };

  async function catchUp(): Promise<void> {
    while (next < log.records.length && !outlet.closed) {
      const begin = log.records[next]?.commit ?? 0;
      let last: LogRecord | undefined;
      let sent = 0;
      for (
        let seen = 0;
        seen < (filter?.window ?? PAGE) && sent < PAGE && next < log.records.length;
        seen++, examined++
      ) {
        const record = log.records[next++];
        if (record === undefined || filter?.matches(record) === false) continue;
        await outlet.write(eventResponse(record));
        last = record;
        sent++;
      }
      if (filter === null || examined < filter.interval || next >= log.records.length) continue;
      examined %= filter.interval;
      // The checkpoint of a page without a matching event is its start: the position of a record without the second part.
      await (last === undefined ? checkpoint(begin, 0) : checkpoint(last.commit, last.prepare));
    }
  }

  await catchUp();
  await outlet.write(caughtUpResponse());
  while (!outlet.closed) {
    if (next >= log.records.length) await outlet.until((wake) => log.onAppend(wake));
    for (; next < log.records.length && !outlet.closed; next++) {
      const record = log.records[next];
      if (record === undefined) continue;
      if (filter === null || filter.matches(record)) await outlet.write(eventResponse(record));
      if (filter === null || ++examined < filter.interval) continue;
      examined = 0;
      await checkpoint(record.commit, record.prepare);
    }
  }
}

/** A subscription to one stream after a revision. Ends when the call is closed. */
export async function followStream(log: Log, source: ReadReq.Options.StreamOptions, outlet: Outlet): Promise<void> {
  const stream = nameOf(source.getStreamIdentifier());
  let next = source.hasStart() ? 0 : source.hasEnd() ? log.of(stream).length : Number(source.getRevision()) + 1;
  let caughtUp = false;
  while (!outlet.closed) {
    const isVisible = log.visibility(stream);
    for (const record of log.of(stream).slice(next)) {
      if (isVisible(record)) await outlet.write(eventResponse(record));
      next = record.revision + 1;
    }
    if (!caughtUp) await outlet.write(caughtUpResponse());
    caughtUp = true;
    if (next >= log.of(stream).length) await outlet.until((wake) => log.onAppend(wake));
  }
}
