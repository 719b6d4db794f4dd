import type { ReadReq } from '@eventstore/db-client/generated/streams_pb.js';
import type { LogRecord } from './log.ts';

export type Filter = Readonly<{
  fits(record: LogRecord): boolean;
  /** Records looked at in one page of a search. */
  window: number;
  /** Records between two checkpoints. */
  interval: number;
}>;

/** The server's own page, used where a request leaves the window open. */
const PAGE = 32;

/** The filter of a request: prefixes or a regular expression, on the stream's name or the type. `null` without one. */
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
    fits(record) {
      const text = onStream === undefined ? record.type : record.stream;
      return regex?.test(text) ?? prefixes.some((prefix) => text.startsWith(prefix));
    },
    window,
    interval: window * filter.getCheckpointintervalmultiplier(),
  };
}
