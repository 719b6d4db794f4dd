import { once } from 'node:events';
import { type AddressInfo, createServer, type Server as NetServer, type Socket } from 'node:net';
import type {
  Server,
  ServerCredentials,
  ServerUnaryCall,
  sendUnaryData,
  UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { createSystemClock } from '../../../src/adapters/system/system-clock.ts';
import { createSystemRandom } from '../../../src/adapters/system/system-random.ts';
import type { Clock } from '../../../src/ports/clock.ts';
import type { Random } from '../../../src/ports/random.ts';
import { type AppendDeps, serveAppend, serveBatchAppend } from './append.ts';
import { serveDelete, serveTombstone } from './delete.ts';
import { accessDenied, Faults } from './faults.ts';
import { Log } from './log.ts';
import type { Product } from './positions.ts';
import { type ReadDeps, serveRead } from './read.ts';
import { features, GossipService, gossip, grpc, ServerFeaturesService, StreamsService } from './stubs.ts';

export type ServerOptions = Readonly<{
  /** Default: a free port. */
  port?: number;
  /** File for the log; without it, the log ends with the process. */
  path?: string;
  /** The log of another member of the same cluster: what one of them appends, all have at once. */
  log?: Log;
  /** Serve TLS with this certificate (PEM). */
  tls?: Readonly<{ key: string; certificate: string }>;
  /** Time of the records; default: the system clock. */
  clock?: Clock;
  random?: Random;
  /** Which server it behaves as; default: `EventStoreDB`. */
  product?: Product;
}>;

/** A member of a cluster as another one sees it. */
export type Member = Readonly<{
  port: number;
  state: 'LEADER' | 'FOLLOWER' | 'UNKNOWN' | 'READONLYREPLICA';
  isAlive?: boolean;
}>;

/** The versions that it behaves as. */
const VERSIONS: Readonly<Record<Product, string>> = { EventStoreDB: '23.10.6', KurrentDB: '25.0.1' };

/** An EventStoreDB that speaks the protocol of the real one on the loopback interface. */
export interface EventStoreDbServer {
  /** Connection string of its only node. */
  readonly url: string;
  readonly port: number;
  /** The stored events; tests inspect them, and append events of other programs. */
  readonly log: Log;
  readonly faults: Faults;
  /** Number of reads and subscriptions in progress. */
  readonly openReads: number;
  /** Number of appends that are held, see `Faults.holdAppends`. */
  readonly heldAppends: number;
  /** Number of appends, reads and subscriptions that it has received. */
  readonly received: number;
  /** Number of appends that it has carried out. */
  readonly appends: number;
  /** Number of events sent to reads and subscriptions so far. */
  readonly eventsSent: number;
  /** Port of the cluster's leader, as reported by this node; initially its own. */
  leader: number;
  /** All members of the cluster, as reported by this node; `null`: the leader alone. */
  members: readonly Member[] | null;
  /** Number of connections since the start. */
  readonly connections: number;
  /** Number of questions for the members of the cluster so far. */
  readonly gossips: number;
  /** Cuts every connection without a response. */
  cut(): void;
  /** Cuts every connection and accepts no more. The log is kept. */
  stop(): Promise<void>;
  /** Starts again on the same port. */
  start(): Promise<void>;
  /** Stops and closes the log. */
  close(): Promise<void>;
}

const HOST = '127.0.0.1';
/** Largest message: the limit of the client. */
const MAX_MESSAGE_BYTES = 17 * 1024 * 1024;

export async function startEventStoreDbServer(options: ServerOptions = {}): Promise<EventStoreDbServer> {
  const server = new WireServer(options);
  await server.start();
  return server;
}

class WireServer implements EventStoreDbServer {
  readonly log: Log;
  readonly faults = new Faults();
  eventsSent = 0;
  received = 0;
  appends = 0;
  leader = 0;
  members: readonly Member[] | null = null;
  connections = 0;
  gossips = 0;
  readonly #tls: ServerOptions['tls'];
  readonly #product: Product;
  readonly #newId: () => string;
  readonly #sockets = new Set<Socket>();
  readonly #reads = new Set<unknown>();
  readonly #waiting = new Set<unknown>();
  #running: { grpc: Server; net: NetServer } | null = null;
  #port: number;

  constructor(options: ServerOptions) {
    const { port = 0, path, tls, clock = createSystemClock(), random = createSystemRandom() } = options;
    this.#product = options.product ?? 'EventStoreDB';
    this.#port = port;
    this.#tls = tls;
    this.#newId = () => random.uuid(clock.now());
    this.log = options.log ?? new Log({ clock, random }, path);
  }

  get port(): number {
    return this.#port;
  }

  get openReads(): number {
    return this.#reads.size;
  }

  get heldAppends(): number {
    return this.#waiting.size;
  }

  get url(): string {
    return `esdb://${HOST}:${this.#port}?tls=${this.#tls !== undefined}`;
  }

  async start(): Promise<void> {
    const server = new grpc.Server({ 'grpc.max_receive_message_length': MAX_MESSAGE_BYTES });
    this.#addServices(server);
    // Connections are accepted here rather than by gRPC, so that they can be cut.
    const injector = server.createConnectionInjector(this.#credentials());
    const net = createServer((socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
      // A peer may disconnect at any time.
      socket.on('error', () => {});
      this.connections++;
      // The kernel accepts connections also for a suspended process.
      void this.faults.thawed().then(() => {
        if (!socket.destroyed) injector.injectConnection(socket);
      });
    });
    net.listen(this.#port, HOST);
    await once(net, 'listening');
    this.#port = (net.address() as AddressInfo).port;
    this.leader ||= this.#port;
    this.#running = { grpc: server, net };
  }

  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async stop(): Promise<void> {
    const running = this.#running;
    if (running === null) return;
    this.#running = null;
    const closed = once(running.net, 'close');
    running.net.close();
    this.cut();
    running.grpc.forceShutdown();
    await closed;
  }

  async close(): Promise<void> {
    await this.stop();
    this.log.close();
  }

  #credentials(): ServerCredentials {
    if (this.#tls === undefined) return grpc.ServerCredentials.createInsecure();
    const pair = { private_key: Buffer.from(this.#tls.key), cert_chain: Buffer.from(this.#tls.certificate) };
    return grpc.ServerCredentials.createSsl(null, [pair]);
  }

  #addServices(server: Server): void {
    const deps: AppendDeps & ReadDeps = {
      log: this.log,
      product: this.#product,
      faults: this.faults,
      newId: this.#newId,
      open: this.#reads,
      sent: () => {
        this.eventsSent++;
      },
      waiting: this.#waiting,
      received: () => {
        this.received++;
      },
      carriedOut: () => {
        this.appends++;
      },
      cutConnections: () => this.cut(),
    };
    const streams: UntypedServiceImplementation = {
      read: serveRead.bind(null, deps),
      append: serveAppend.bind(null, deps),
      batchAppend: serveBatchAppend.bind(null, deps),
      delete: serveDelete.bind(null, deps),
      tombstone: serveTombstone.bind(null, deps),
    };
    server.addService(StreamsService, streams);
    server.addService(ServerFeaturesService, {
      getSupportedMethods: (_call: unknown, respond: (error: null, response: object) => void) =>
        respond(null, supported(VERSIONS[this.#product])),
    });
    server.addService(GossipService, {
      read: async (call: ServerUnaryCall<object, object>, respond: sendUnaryData<object>) => {
        this.gossips++;
        await this.faults.thawed();
        if (this.faults.permitsGossip(call)) respond(null, this.#cluster());
        else respond(accessDenied());
      },
    });
  }

  #cluster() {
    const cluster = new gossip.ClusterInfo();
    for (const { port, state, isAlive = true } of this.members ?? [{ port: this.leader, state: 'LEADER' }]) {
      const endPoint = new gossip.EndPoint();
      endPoint.setAddress(HOST);
      endPoint.setPort(port);
      const member = new gossip.MemberInfo();
      member.setHttpEndPoint(endPoint);
      member.setIsAlive(isAlive);
      member.setState(gossip.MemberInfo.VNodeState[state]);
      cluster.addMembers(member);
    }
    return cluster;
  }
}

/** The methods by name, in lower case. The client uses `BatchAppend` only when it is listed. */
function supported(version: string) {
  const methods = new features.SupportedMethods();
  methods.setEventStoreServerVersion(version);
  for (const name of Object.keys(StreamsService)) {
    const method = new features.SupportedMethod();
    method.setServiceName('event_store.client.streams.streams');
    method.setMethodName(name.toLowerCase());
    methods.addMethods(method);
  }
  return methods;
}
