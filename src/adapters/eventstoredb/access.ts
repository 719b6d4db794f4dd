import type { ReadReq } from '@eventstore/db-client/generated/streams_pb.js';
import type { Logger } from '../../kernel/logger.ts';
import type { AccessFailure } from './outcomes.ts';

/** Rejections that are remembered at most. Further ones are not logged. */
const MAX_REJECTIONS = 100;
const CREDENTIALS = 'credentials';

/**
 * Logs when the server rejects the credentials of the connection string, or denies an access: one line, until that changes. Rejected calls are
 * repeated for as long as it takes, and their callers need not log it.
 */
export class AccessLog {
  readonly #logger: Logger;
  readonly #who: string;
  readonly #rejections = new Set<string>();

  /** `user`: the name in the connection string, `null` without one. */
  constructor(logger: Logger, user: string | null) {
    this.#logger = logger;
    this.#who = user === null ? 'a connection without a user' : `user '${user}'`;
  }

  /** Whether anything is rejected at the moment, so that `accepted` matters. */
  get isRejecting(): boolean {
    return this.#rejections.size > 0;
  }

  /** Logs a rejection unless it is known, and returns it in words. `stream` may be `$all`. */
  rejected(failure: AccessFailure, action: 'read' | 'append to', stream: string): string {
    const area = areaOf(stream);
    const message =
      failure === 'credentials'
        ? `the event store rejects the credentials of ${this.#who}: check user and password in its connection string`
        : `the event store denies ${this.#who} permission to ${action} ${area}`;
    const key = failure === 'credentials' ? CREDENTIALS : `${action} ${area}`;
    if (!this.#rejections.has(key) && this.#rejections.size < MAX_REJECTIONS) {
      this.#rejections.add(key);
      this.#logger.error({}, message);
    }
    return message;
  }

  /** Notes that a call succeeded. */
  accepted(action: 'read' | 'append to', stream: string): void {
    const area = areaOf(stream);
    const changed = [CREDENTIALS, `${action} ${area}`].filter((key) => this.#rejections.delete(key));
    if (changed.length > 0) this.#logger.info({}, `the event store permits ${this.#who} to ${action} ${area} again`);
  }
}

/** Streams of one kind have the same permissions, as a rule: they are not logged one by one. */
function areaOf(stream: string): string {
  const [category] = stream.split('-');
  return category === stream ? stream : `streams '${category}-…'`;
}

/** The stream that a request reads, `$all` for the whole log. */
export function streamOf(request: ReadReq): string {
  const stream = request.getOptions()?.getStream()?.getStreamIdentifier();
  return stream === undefined ? '$all' : Buffer.from(stream.getStreamName_asU8()).toString();
}
