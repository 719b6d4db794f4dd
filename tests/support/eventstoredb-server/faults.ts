import type {
  Metadata,
  ServerDuplexStream,
  ServerReadableStream,
  ServerUnaryCall,
  ServerWritableStream,
} from '@grpc/grpc-js';
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
  /** `unavailable`: rejected. `error`: rejected as at an unknown position. `silence`: no response. `break`: fails after the first event. */
  readonly reads: ('unavailable' | 'error' | 'silence' | 'break')[] = [];
  /** What happens in the server before it serves a read or subscription. */
  readonly beforeReads: (() => void)[] = [];
  /** Every checkpoint of a subscription is sent twice. */
  repeatCheckpoints = false;
  /** Users and their passwords; `null`: no authentication. */
  users: Readonly<Record<string, string>> | null = null;
  /** Users who may read `$all` (by default only administrators may), and those who may append; `null`: all. */
  readersOfAll: readonly string[] | null = null;
  writers: readonly string[] | null = null;
  /** Whether anonymous callers may ask for the members of the cluster. */
  anonymousGossip = true;
  #thawed: { promise: Promise<void>; resolve: () => void } | null = null;
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

  /** The server sends nothing more, as if its process was suspended, until the returned function is called. Connections stay open. */
  freeze(): () => void {
    const frozen = Promise.withResolvers<void>();
    this.#thawed = frozen;
    return () => {
      this.#thawed = null;
      frozen.resolve();
    };
  }

  get isFrozen(): boolean {
    return this.#thawed !== null;
  }

  /** Resolves when the server is not frozen. */
  async thawed(): Promise<void> {
    while (this.#thawed !== null) await this.#thawed.promise;
  }

  /** Whether the caller is authenticated or anonymous. If not, the call has been ended with an error. */
  admits(call: AnyCall): boolean {
    const user = this.#userOf(call);
    if (user === undefined) call.emit('error', rpcError(grpc.status.UNAUTHENTICATED, 'Unauthenticated', {}));
    return user !== undefined;
  }

  /** Whether the caller may read streams, or the whole log. If not, the call has been ended with an error. */
  permitsRead(call: AnyCall, what: 'stream' | '$all'): boolean {
    if (this.#permits(call, what === '$all' ? this.readersOfAll : null)) return true;
    call.emit('error', accessDenied());
    return false;
  }

  /** Whether the caller may ask for the members of the cluster. */
  permitsGossip(call: AnyCall): boolean {
    return this.anonymousGossip || this.#permits(call, null);
  }

  /** Whether the caller may append. */
  permitsAppend(call: AnyCall): boolean {
    return this.#permits(call, this.writers);
  }

  #permits(call: AnyCall, users: readonly string[] | null): boolean {
    if (this.users === null) return true;
    const user = this.#userOf(call) ?? null;
    return user !== null && (users?.includes(user) ?? true);
  }

  /** The name of the caller, `null` for an anonymous one, `undefined` with an unknown user or a wrong password. */
  #userOf(call: AnyCall): string | null | undefined {
    const [header] = call.metadata.get('authorization');
    if (this.users === null || header === undefined) return null;
    const given = Buffer.from(String(header).replace(/^Basic /, ''), 'base64').toString();
    return Object.entries(this.users).find(([name, password]) => given === `${name}:${password}`)?.[0];
  }
}

// Only the metadata is read, so the types of messages do not matter.
type AnyCall = Pick<
  | ServerReadableStream<unknown, unknown>
  | ServerWritableStream<unknown, unknown>
  | ServerUnaryCall<unknown, unknown>
  | ServerDuplexStream<unknown, unknown>,
  'metadata' | 'emit'
>;

export const accessDenied = () =>
  rpcError(grpc.status.PERMISSION_DENIED, 'Access Denied', { exception: 'access-denied' });

export type RpcError = Error & Readonly<{ code: number; details: string; metadata: Metadata }>;

/** An error in the form of the real server: a status, with the kind of exception in the metadata. */
export function rpcError(code: number, details: string, trailers: Record<string, string>): RpcError {
  const metadata = new grpc.Metadata();
  for (const [key, value] of Object.entries(trailers)) metadata.set(key, value);
  return Object.assign(new Error(details), { code, details, metadata });
}
