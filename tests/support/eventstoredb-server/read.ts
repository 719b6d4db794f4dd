import type { ReadReq, ReadResp } from '@eventstore/db-client/generated/streams_pb.js';
import type { ServerWritableStream } from '@grpc/grpc-js';
import { streamDeleted } from './append-responses.ts';
import { type Faults, rpcError } from './faults.ts';
import { filterOf } from './filter.ts';
import type { Log, LogRecord } from './log.ts';
import { confirmationResponse, eventResponse, lastRevisionResponse, nameOf, notFoundResponse } from './messages.ts';
import { Outlet } from './outlet.ts';
import { atOrAfter, endingBefore } from './positions.ts';
import { grpc } from './stubs.ts';
import { followAll, followStream } from './subscriptions.ts';

export type ReadDeps = Readonly<{
  log: Log;
  faults: Faults;
  newId: () => string;
  /** The reads and subscriptions in progress. */
  open: Set<unknown>;
  /** Called for each read and subscription that arrives. */
  received(): void;
  /** Called after each event that is sent. */
  sent(): void;
}>;

/** `Read`: a read of or a subscription to a stream or the whole log. */
export async function serveRead(
  { log, faults, newId, open, received, sent }: ReadDeps,
  call: ServerWritableStream<ReadReq, ReadResp>,
): Promise<void> {
  received();
  await faults.thawed();
  if (!faults.admits(call)) return;
  if (!faults.permitsRead(call, call.request.getOptions()?.hasAll() === true ? '$all' : 'stream')) return;
  const fault = faults.reads.shift();
  if (fault === 'silence') return;
  const outlet = new Outlet(call, faults, () => {
    sent();
    if (fault === 'break') throw unavailable('Connection reset');
  });
  open.add(call);
  try {
    const options = call.request.getOptions();
    if (options?.getUuidOption() === undefined) throw invalid('`uuidOption` is a required argument');
    if (fault === 'unavailable') throw unavailable('Server Is Not Ready');
    const [stream, all] = [options.getStream(), options.getAll()];
    if (options.hasSubscription()) {
      await outlet.write(confirmationResponse(newId()));
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
  await send(range, { matches: log.visibility(stream), count: Number(options.getCount()), outlet });
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
    : walk(log.records, atOrAfter(log, source), 1);
  const matches = filterOf(options)?.matches ?? (() => true);
  await send(range, { matches, count: Number(options.getCount()), outlet });
}

function* walk(records: readonly LogRecord[], from: number, step: 1 | -1): Generator<LogRecord> {
  for (let i = from, record = records[i]; record !== undefined; i += step, record = records[i]) yield record;
}

async function send(
  records: Iterable<LogRecord>,
  { matches, count, outlet }: { matches: (record: LogRecord) => boolean; count: number; outlet: Outlet },
): Promise<void> {
  let sent = 0;
  for (const record of records) {
    if (sent >= count || outlet.closed) return;
    if (!matches(record)) continue;
    await outlet.write(eventResponse(record));
    sent++;
  }
}
