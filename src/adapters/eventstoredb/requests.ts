import shared from '@eventstore/db-client/generated/shared_pb.js';
import type { ReadReq } from '@eventstore/db-client/generated/streams_pb.js';
import streams from '@eventstore/db-client/generated/streams_pb.js';
import type { Direction, EventFilter } from '../../ports/event-store.ts';
import type { Place } from './position.ts';

/** Records that the server looks at before it tells how far it is, and between two checkpoints. */
const WINDOW = 512;
/** The largest revision that the server can think of. */
const MAX_REVISION = 2n ** 63n - 1n;

/** Types of system events start with `$`; everything else does not. */
const NO_SYSTEM_EVENTS = '^[^$]';
/** Fits nothing. */
const NOTHING = '(?!)';

/** A part of a stream, at most `count` records. From a revision (inclusive), or from where the direction starts. */
export function readStreamRequest(
  stream: string,
  { from, direction, count }: Readonly<{ from: bigint | undefined; direction: Direction; count: number }>,
): ReadReq {
  const identifier = new shared.StreamIdentifier();
  identifier.setStreamName(Buffer.from(stream));
  const source = new streams.ReadReq.Options.StreamOptions();
  source.setStreamIdentifier(identifier);
  if (from !== undefined) source.setRevision(String(from < MAX_REVISION ? from : MAX_REVISION));
  else if (direction === 'forwards') source.setStart(new shared.Empty());
  else source.setEnd(new shared.Empty());
  // Makes the server tell the stream's last revision, also when it shows no event of it any more.
  const control = new streams.ReadReq.Options.ControlOption();
  control.setCompatibility(1);
  const options = new streams.ReadReq.Options();
  options.setStream(source);
  options.setControlOption(control);
  options.setNoFilter(new shared.Empty());
  return readRequest(options, direction, count);
}

/**
 * A part of the whole log, at most `count` records. Forwards includes the record at `from`, backwards does not; `null`: from where the
 * direction starts. `system`: with the events of the server itself.
 */
export function readAllRequest({
  from,
  direction,
  count,
  system,
}: Readonly<{ from: Place | null; direction: Direction; count: number; system: boolean }>): ReadReq {
  const options = new streams.ReadReq.Options();
  options.setAll(allOptions(from, direction));
  if (system) options.setNoFilter(new shared.Empty());
  else options.setFilter(typeFilter(NO_SYSTEM_EVENTS));
  return readRequest(options, direction, count);
}

/** Everything behind `after` that the filter lets through, past and to come. The server may let through a little more. */
export function subscribeRequest(after: Place | null, filter: EventFilter | undefined): ReadReq {
  const options = new streams.ReadReq.Options();
  options.setAll(allOptions(after, 'forwards'));
  options.setSubscription(new streams.ReadReq.Options.SubscriptionOptions());
  options.setFilter(serverFilter(filter));
  return complete(options, 'forwards');
}

function allOptions(from: Place | null, direction: Direction): ReadReq.Options.AllOptions {
  const source = new streams.ReadReq.Options.AllOptions();
  if (from !== null) {
    const position = new streams.ReadReq.Options.Position();
    position.setCommitPosition(from.commit);
    position.setPreparePosition(from.prepare);
    source.setPosition(position);
  } else if (direction === 'forwards') source.setStart(new shared.Empty());
  else source.setEnd(new shared.Empty());
  return source;
}

function readRequest(options: ReadReq.Options, direction: Direction, count: number): ReadReq {
  options.setCount(String(count));
  return complete(options, direction);
}

function complete(options: ReadReq.Options, direction: Direction): ReadReq {
  const uuids = new streams.ReadReq.Options.UUIDOption();
  uuids.setString(new shared.Empty());
  options.setUuidOption(uuids);
  options.setReadDirection(direction === 'forwards' ? 0 : 1);
  options.setResolveLinks(false);
  const request = new streams.ReadReq();
  request.setOptions(options);
  return request;
}

function serverFilter(filter: EventFilter | undefined): ReadReq.Options.FilterOptions {
  if (filter === undefined) return typeFilter(NO_SYSTEM_EVENTS);
  if ('types' in filter) return typeFilter(oneOf(filter.types, '$'));
  const expression = new streams.ReadReq.Options.FilterOptions.Expression();
  expression.setRegex(oneOf(filter.categories, '(?:-|$)'));
  const options = new streams.ReadReq.Options.FilterOptions();
  options.setStreamIdentifier(expression);
  return withWindow(options);
}

function typeFilter(regex: string): ReadReq.Options.FilterOptions {
  const expression = new streams.ReadReq.Options.FilterOptions.Expression();
  expression.setRegex(regex);
  const options = new streams.ReadReq.Options.FilterOptions();
  options.setEventType(expression);
  return withWindow(options);
}

function withWindow(options: ReadReq.Options.FilterOptions): ReadReq.Options.FilterOptions {
  options.setMax(WINDOW);
  options.setCheckpointintervalmultiplier(1);
  return options;
}

function oneOf(names: readonly string[], behind: string): string {
  return names.length === 0 ? NOTHING : `^(?:${names.map(quote).join('|')})${behind}`;
}

/** Text that stands for itself in a regular expression of .NET. */
const quote = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');
