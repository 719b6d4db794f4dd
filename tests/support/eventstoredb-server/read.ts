import type { ReadReq, ReadResp } from '@eventstore/db-client/generated/streams_pb.js';
import type { ServerWritableStream } from '@grpc/grpc-js';
import { streamDeleted } from './append-answers.ts';
import { type Faults, rpcError } from './faults.ts';
import { filterOf } from './filter.ts';
import type { Log, LogRecord } from './log.ts';
import { eventResponse, lastRevisionResponse, nameOf, notFoundResponse } from './messages.ts';
import { Outlet } from './outlet.ts';
import { atOrBehind, endingBefore } from './positions.ts';
import { grpc } from './stubs.ts';
import { followAll, followStream } from './subscriptions.ts';

export type ReadDeps = Readonly<{
  log: Log;
  faults: Faults;
  /** The reads and subscriptions that are served now. */
  open: Set<unknown>;
  /** Called for each event that was sent. */
  sent(): void;
}>;

/** A read or a subscription, of a stream or of the whole log. */
export async function serveRead(
  { log, faults, open, sent }: ReadDeps,
  call: ServerWritableStream<ReadReq, ReadResp>,
): Promise<void> {
  if (!faults.admits(call)) return;
  const fault = faults.reads.shift();
  if (fault === 'silence') return;
  const outlet = new Outlet(call, () => {
    sent();
    if (fault === 'break') throw unavailable('broken off');
  });
  open.add(call);
  try {
    const options = call.request.getOptions();
    if (options?.getUuidOption() === undefined) throw invalid('`uuidOption` is a required argument');
    if (fault === 'unavailable') throw unavailable('Server Is Not Ready');
    const [stream, all] = [options.getStream(), options.getAll()];
    if (options.hasSubscription()) {
      if (stream !== undefined) await followStream(log, stream, outlet);
      else if (all !== undefined) await followAll(log, all, { filter: filterOf(options), faults, outlet });
    } else {
      if (stream !== undefined) await readStream(log, options, stream, outlet);
      else if (all !== undefined) await readAll(log, options, all, outlet);
      call.end();
    }
  } catch (error) {
    if (!outlet.closed) call.emit('error', error);
  } finally {
    open.delete(call);
  }
}

const unavailable = (details: string) => rpcError(grpc.status.UNAVAILABLE, details, {});
const invalid = (details: string) => rpcError(grpc.status.INVALID_ARGUMENT, details, {});

const isBackwards = (options: ReadReq.Options): boolean => Number(options.getReadDirection()) === 1;

async function readStream(
  log: Log,
  options: ReadReq.Options,
  source: ReadReq.Options.StreamOptions,
  outlet: Outlet,
): Promise<void> {
  const stream = nameOf(source.getStreamIdentifier());
  const records = log.of(stream);
  if (log.isTombstoned(stream)) throw streamDeleted(stream);
  if (records.length === 0 || log.isSoftDeleted(stream)) return outlet.write(notFoundResponse(stream));
  const from = source.hasStart() ? 0 : source.hasEnd() ? records.length - 1 : Number(source.getRevision());
  const range = isBackwards(options) ? walk(records, Math.min(from, records.length - 1), -1) : walk(records, from, 1);
  await send(range, { fits: log.visibility(stream), count: Number(options.getCount()), outlet });
  const compatibility = options.getControlOption()?.getCompatibility() ?? 0;
  if (compatibility >= 1) await outlet.write(lastRevisionResponse(records.length - 1));
}

async function readAll(
  log: Log,
  options: ReadReq.Options,
  source: ReadReq.Options.AllOptions,
  outlet: Outlet,
): Promise<void> {
  const range = isBackwards(options)
    ? walk(log.records, endingBefore(log, source) - 1, -1)
    : walk(log.records, atOrBehind(log, source), 1);
  const fits = filterOf(options)?.fits ?? (() => true);
  await send(range, { fits, count: Number(options.getCount()), outlet });
}

function* walk(records: readonly LogRecord[], from: number, step: 1 | -1): Generator<LogRecord> {
  for (let i = from, record = records[i]; record !== undefined; i += step, record = records[i]) yield record;
}

async function send(
  records: Iterable<LogRecord>,
  { fits, count, outlet }: { fits: (record: LogRecord) => boolean; count: number; outlet: Outlet },
): Promise<void> {
  let sent = 0;
  for (const record of records) {
    if (sent >= count || outlet.closed) return;
    if (!fits(record)) continue;
    await outlet.write(eventResponse(record));
    sent++;
  }
}
