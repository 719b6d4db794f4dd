import type { Socket } from 'node:net';
import { Refusal } from '../../kernel/errors.ts';

/** The sockets of clients that are not authenticated yet, limited per network. */
export class AnonymousSockets {
  readonly #perNetwork: number;
  readonly #retryAfterMs: number;
  readonly #networks = new Map<Socket, string>();
  readonly #counts = new Map<string, number>();

  /** `retryAfterMs`: how long a socket can stay unauthenticated. */
  constructor(limits: Readonly<{ perNetwork: number; retryAfterMs: number }>) {
    this.#perNetwork = limits.perNetwork;
    this.#retryAfterMs = limits.retryAfterMs;
  }

  get size(): number {
    return this.#networks.size;
  }

  /** Counts a socket until it is authenticated or closed. Throws `too-many-requests` when its network has too many. */
  add(socket: Socket, network: string): void {
    const count = this.#counts.get(network) ?? 0;
    if (count >= this.#perNetwork) {
      const options = { retryAfterMs: this.#retryAfterMs };
      throw new Refusal('too-many-requests', 'too many connections of this network wait for authentication', options);
    }
    this.#counts.set(network, count + 1);
    this.#networks.set(socket, network);
    socket.once('close', () => this.authenticated(socket));
  }

  /** Counts the socket no longer. Harmless when repeated. */
  authenticated(socket: Socket): void {
    const network = this.#networks.get(socket);
    if (network === undefined) return;
    this.#networks.delete(socket);
    const count = (this.#counts.get(network) ?? 1) - 1;
    if (count === 0) this.#counts.delete(network);
    else this.#counts.set(network, count);
  }
}
