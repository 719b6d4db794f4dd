import type { Metadata, ServerDuplexStream, ServerReadableStream, ServerWritableStream } from '@grpc/grpc-js';
import { grpc } from './stubs.ts';

/** What goes wrong with an append. `written` tells whether it is in the log all the same. */
export type AppendFault =
  /** Every connection is cut, instead of an answer. */
  | Readonly<{ kind: 'cut'; written: boolean }>
  /** The server answers that it timed out. */
  | Readonly<{ kind: 'timeout'; written: boolean }>
  /** There is no answer at all. */
  | Readonly<{ kind: 'silence'; written: boolean }>
  /** The server refuses it: too busy, no leader. */
  | Readonly<{ kind: 'busy' }>;

/** The faults to come. Each is used up by one append, read or subscription, in order. */
export class Faults {
  readonly appends: AppendFault[] = [];
  /** `unavailable`: refused. `silence`: no answer. `break`: cut off after the first event. */
  readonly reads: ('unavailable' | 'silence' | 'break')[] = [];
  /** Every checkpoint of a subscription is sent twice. */
  repeatCheckpoints = false;
  /** Users and their passwords; everybody may do everything when it is `null`. */
  users: Readonly<Record<string, string>> | null = null;
  #gate: { opened: Promise<void>; open: () => void } | null = null;

  /** Holds every append before it is looked at, until the function it gives back is called. */
  holdAppends(): () => void {
    const { promise: opened, resolve } = Promise.withResolvers<void>();
    const open = () => {
      this.#gate = null;
      resolve();
    };
    this.#gate = { opened, open };
    return open;
  }

  /** Resolves when appends are not held. */
  async gate(): Promise<void> {
    await this.#gate?.opened;
  }

  /** Whether the caller may; when not, the call has been ended. */
  admits(call: AnyCall): boolean {
    if (this.users === null) return true;
    const [header = ''] = call.metadata.get('authorization');
    const given = Buffer.from(String(header).replace(/^Basic /, ''), 'base64').toString();
    if (Object.entries(this.users).some(([name, password]) => given === `${name}:${password}`)) return true;
    call.emit('error', rpcError(grpc.status.UNAUTHENTICATED, 'the user is not known', {}));
    return false;
  }
}

// The types of messages do not matter to who only looks at the metadata.
type AnyCall = Pick<
  | ServerReadableStream<unknown, unknown>
  | ServerWritableStream<unknown, unknown>
  | ServerDuplexStream<unknown, unknown>,
  'metadata' | 'emit'
>;

export type RpcError = Error & Readonly<{ code: number; details: string; metadata: Metadata }>;

/** An error as the server tells it: a status, and in the metadata what kind of exception it was. */
export function rpcError(code: number, details: string, trailers: Record<string, string>): RpcError {
  const metadata = new grpc.Metadata();
  for (const [key, value] of Object.entries(trailers)) metadata.set(key, value);
  return Object.assign(new Error(details), { code, details, metadata });
}
