import type { Metadata, ServerDuplexStream, ServerReadableStream, ServerWritableStream } from '@grpc/grpc-js';
import { grpc } from './stubs.ts';

/** How an append fails. `written`: whether it is in the log nevertheless. */
export type AppendFault =
  /** All connections are cut instead of a response. */
  | Readonly<{ kind: 'cut'; written: boolean }>
  /** The server responds with a timeout. */
  | Readonly<{ kind: 'timeout'; written: boolean }>
  /** No response is sent. */
  | Readonly<{ kind: 'silence'; written: boolean }>
  /** The server rejects it: too busy, no leader. */
  | Readonly<{ kind: 'busy' }>;

/** Faults to inject. Each applies to one append, read or subscription, in order. */
export class Faults {
  readonly appends: AppendFault[] = [];
  /** `unavailable`: rejected. `silence`: no response. `break`: fails after the first event. */
  readonly reads: ('unavailable' | 'silence' | 'break')[] = [];
  /** Every checkpoint of a subscription is sent twice. */
  repeatCheckpoints = false;
  /** Users and their passwords; `null`: no authentication. */
  users: Readonly<Record<string, string>> | null = null;
  #gate: { opened: Promise<void>; open: () => void } | null = null;

  /** Holds every append before it is carried out, until the returned function is called. */
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

  /** Whether the caller is authenticated. If not, the call has been ended with an error. */
  admits(call: AnyCall): boolean {
    if (this.users === null) return true;
    const [header = ''] = call.metadata.get('authorization');
    const given = Buffer.from(String(header).replace(/^Basic /, ''), 'base64').toString();
    if (Object.entries(this.users).some(([name, password]) => given === `${name}:${password}`)) return true;
    call.emit('error', rpcError(grpc.status.UNAUTHENTICATED, 'unknown user or wrong password', {}));
    return false;
  }
}

// Only the metadata is read, so the types of messages do not matter.
type AnyCall = Pick<
  | ServerReadableStream<unknown, unknown>
  | ServerWritableStream<unknown, unknown>
  | ServerDuplexStream<unknown, unknown>,
  'metadata' | 'emit'
>;

export type RpcError = Error & Readonly<{ code: number; details: string; metadata: Metadata }>;

/** An error in the form of the real server: a status, with the kind of exception in the metadata. */
export function rpcError(code: number, details: string, trailers: Record<string, string>): RpcError {
  const metadata = new grpc.Metadata();
  for (const [key, value] of Object.entries(trailers)) metadata.set(key, value);
  return Object.assign(new Error(details), { code, details, metadata });
}
