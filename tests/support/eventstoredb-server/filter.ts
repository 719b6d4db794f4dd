import type { ReadReq } from '@eventstore/db-client/generated/streams_pb.js';
import type { LogRecord } from './log.ts';

export type Filter = Readonly<{
  matches(record: LogRecord): boolean;
  /** Records examined in one page. */
  window: number;
  /** Records between two checkpoints. */
  interval: number;
}>;

/** The default of the real server, where a request has no window. */
const PAGE = 32;

/** The filter of a request: prefixes or a regular expression, on the stream name or the event type. `null` without one. */
export function filterOf(options: ReadReq.Options): Filter | null {
  const filter = options.getFilter();
  if (filter === undefined) return null;
  const onStream = filter.getStreamIdentifier();
  const expression = onStream ?? filter.getEventType();
  const prefixes = expression?.getPrefixList() ?? [];
  const pattern = expression?.getRegex() ?? '';
  const regex = pattern === '' ? null : new RegExp(pattern);
  const window = filter.hasMax() ? filter.getMax() : PAGE;
  return {
    matches(record) {
      const text = onStream === undefined ? record.type : record.stream;
      return regex?.test(text) ?? prefixes.some((prefix) => text.startsWith(prefix));
    },
    window,
    interval: window * filter.getCheckpointintervalmultiplier(),
  };
}
