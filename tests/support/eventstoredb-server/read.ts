import type { ReadReq, ReadResp } from '@eventstore/db-client/generated/streams_pb.js';
import type { ServerWritableStream } from '@grpc/grpc-js';
import { streamDeleted } from './append-responses.ts';
import { type Faults, rpcError } from './faults.ts';
import { filterOf } from './filter.ts';
import type { Log, LogRecord } from './log.ts';
import { confirmationResponse, eventResponse, lastRevisionResponse, nameOf, notFoundResponse } from './messages.ts';
import { Outlet } from './outlet.ts';
import { backwards, forwards, type Product, startBackwards, startForwards, unexpected } from './positions.ts';
import { partitionPoint } from './sorted.ts';
import { grpc } from './stubs.ts';
import { followAll, followStream } from './subscriptions.ts';

export type ReadDeps = Readonly<{
  log: Log;
  product: Product;
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
  { log, product, faults, newId, open, received, sent }: ReadDeps,
  call: ServerWritableStream<ReadReq, ReadResp>,
): Promise<void> {
  received();
  await faults.thawed();
  if (!faults.admits(call)) return;
  if (!faults.permitsRead(call, call.request.getOptions()?.hasAll() === true ? '$all' : 'stream')) return;
  faults.beforeReads.shift()?.();
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
    if (fault === 'error') throw unexpected('ReadAllResult', 'Error');
    const [stream, all] = [options.getStream(), options.getAll()];
    if (options.hasSubscription()) {
      const confirm = () => outlet.write(confirmationResponse(newId()));
      if (stream !== undefined) await followStream(log, stream, { outlet, confirm });
      else if (all !== undefined)
        await followAll(log, all, { filter: filterOf(options), product, faults, outlet, confirm });
    } else {
      if (stream !== undefined) await readStream(log, options, stream, outlet);
      else if (all !== undefined) await readAll({ log, product, outlet }, options, all);
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
  const last = log.lastRevision(stream);
  const from = source.hasStart() ? 0 : source.hasEnd() ? last : Number(source.getRevision());
  const range = isBackwards(options) ? streamBackwards(log, stream, from) : streamForwards(log, stream, from);
  await send(range, { matches: log.visibility(stream), count: Number(options.getCount()), outlet });
  const compatibility = options.getControlOption()?.getCompatibility() ?? 0;
  if (compatibility >= 1) await outlet.write(lastRevisionResponse(last));
}

async function readAll(
  { log, product, outlet }: Readonly<{ log: Log; product: Product; outlet: Outlet }>,
  options: ReadReq.Options,
  source: ReadReq.Options.AllOptions,
): Promise<void> {
  const filter = filterOf(options);
  const result = filter === null ? 'ReadAllResult' : 'FilteredReadAllResult';
  const range = isBackwards(options)
    ? backwards(log, startBackwards(log, source, product, result))
    : forwards(log, startForwards(log, source, product, result));
  const matches = filter?.matches ?? (() => true);
  await send(range, { matches, count: Number(options.getCount()), outlet });
}

function* streamForwards(log: Log, stream: string, from: number): Generator<LogRecord, void> {
  for (let first = from, record: LogRecord | undefined; ; first = record.revision + 1) {
    const records = log.of(stream);
    record = records[partitionPoint(records, ({ revision }) => revision < first)];
    if (record === undefined) return;
    yield record;
  }
}

function* streamBackwards(log: Log, stream: string, from: number): Generator<LogRecord, void> {
  for (let last = from, record: LogRecord | undefined; ; last = record.revision - 1) {
    const records = log.of(stream);
    record = records[partitionPoint(records, ({ revision }) => revision <= last) - 1];
    if (record === undefined) return;
    yield record;
  }
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
