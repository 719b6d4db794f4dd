import shared from '@eventstore/db-client/generated/shared_pb.js';
import type { ReadReq } from '@eventstore/db-client/generated/streams_pb.js';
import streams from '@eventstore/db-client/generated/streams_pb.js';
import type { Direction, EventFilter } from '../../ports/event-store.ts';
import type { Place } from './position.ts';

/** Records that the server filters in one page, and between two checkpoints. */
const WINDOW = 512;
/** The largest revision of the server's protocol. */
const MAX_REVISION = 2n ** 63n - 1n;

/** The types of system events start with `$`, all others do not. */
const NO_SYSTEM_EVENTS = '^[^$]';
/** Matches nothing. */
const NOTHING = '(?!)';

/** Reads at most `count` records of a stream, from a revision (inclusive); `null`: from where the direction starts. */
export function readStreamRequest(
  stream: string,
  { from, direction, count }: Readonly<{ from: bigint | null; direction: Direction; count: number }>,
): ReadReq {
  const identifier = new shared.StreamIdentifier();
  identifier.setStreamName(Buffer.from(stream));
  const source = new streams.ReadReq.Options.StreamOptions();
  source.setStreamIdentifier(identifier);
  if (from !== null) source.setRevision(String(from < MAX_REVISION ? from : MAX_REVISION));
  else if (direction === 'forwards') source.setStart(new shared.Empty());
  else source.setEnd(new shared.Empty());
  // Makes the server send the stream's last revision, even when none of its events are visible any more.
  const control = new streams.ReadReq.Options.ControlOption();
  control.setCompatibility(1);
  const options = new streams.ReadReq.Options();
  options.setStream(source);
  options.setControlOption(control);
  options.setNoFilter(new shared.Empty());
  return readRequest(options, direction, count);
}

/**
 * Reads at most `count` records of the whole log. The record at `from` is included forwards, but not backwards; `null`: from where the direction
 * starts. `system`: include the events of the server itself.
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

/** Subscribes to all records after `after` that match the filter, past and future. The server may send a few more. */
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

/** A regular expression for texts that start with one of the names, followed by `suffix` (a regular expression too). */
function oneOf(names: readonly string[], suffix: string): string {
  return names.length === 0 ? NOTHING : `^(?:${names.map(escapeRegex).join('|')})${suffix}`;
}

/** Escapes text for a regular expression of .NET. */
const escapeRegex = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');
