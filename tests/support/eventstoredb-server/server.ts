import { once } from 'node:events';
import { type AddressInfo, createServer, type Server as NetServer, type Socket } from 'node:net';
import type { Server, ServerCredentials, UntypedServiceImplementation } from '@grpc/grpc-js';
import { type AppendDeps, serveAppend, serveBatchAppend } from './append.ts';
import { serveDelete, serveTombstone } from './delete.ts';
import { Faults } from './faults.ts';
import { Log } from './log.ts';
import { type ReadDeps, serveRead } from './read.ts';
import { features, GossipService, gossip, grpc, ServerFeaturesService, StreamsService } from './stubs.ts';

export type ServerOptions = Readonly<{
  /** Default: one that is free. */
  port?: number;
  /** File that the log is kept in; without it, it lives as long as the process. */
  path?: string;
  /** Speaks TLS with this certificate (PEM). */
  tls?: Readonly<{ key: string; certificate: string }>;
}>;

/** An EventStoreDB that speaks the real one's protocol on the loopback interface. */
export interface EventStoreDbServer {
  /** Connection string of the one node. */
  readonly url: string;
  readonly port: number;
  /** What is stored; tests look into it, and write to it what others would. */
  readonly log: Log;
  readonly faults: Faults;
  /** Reads and subscriptions that are served now. */
  readonly openReads: number;
  /** Appends that are held. */
  readonly openAppends: number;
  /** Events that reads and subscriptions were sent so far. */
  readonly eventsSent: number;
  /** Port of the node that is the leader of the cluster, as this one tells it; itself at first. */
  leader: number;
  /** Cuts every connection, without a word. */
  cut(): void;
  /** Cuts every connection and takes no more. The log stays. */
  stop(): Promise<void>;
  /** Serves again, on the same port. */
  start(): Promise<void>;
  /** Stops for good. */
  close(): Promise<void>;
}

const HOST = '127.0.0.1';
/** Of one message: the client's own limit. */
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
  leader = 0;
  readonly #tls: ServerOptions['tls'];
  readonly #sockets = new Set<Socket>();
  readonly #reads = new Set<unknown>();
  readonly #appends = new Set<unknown>();
  #running: { grpc: Server; net: NetServer } | null = null;
  #port: number;

  constructor({ port = 0, path, tls }: ServerOptions) {
    this.#port = port;
    this.#tls = tls;
    this.log = new Log(path);
  }

  get port(): number {
    return this.#port;
  }

  get openReads(): number {
    return this.#reads.size;
  }

  get openAppends(): number {
    return this.#appends.size;
  }

  get url(): string {
    return `esdb://${HOST}:${this.#port}?tls=${this.#tls !== undefined}`;
  }

  async start(): Promise<void> {
    const server = new grpc.Server({ 'grpc.max_receive_message_length': MAX_MESSAGE_BYTES });
    this.#addServices(server);
    // Sockets of our own, so that they can be cut.
    const injector = server.createConnectionInjector(this.#credentials());
    const net = createServer((socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
      // A peer that is gone is no matter of the server.
      socket.on('error', () => {});
      injector.injectConnection(socket);
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
      faults: this.faults,
      open: this.#reads,
      sent: () => {
        this.eventsSent++;
      },
      waiting: this.#appends,
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
      getSupportedMethods: (_call: unknown, answer: (error: null, response: object) => void) =>
        answer(null, supported()),
    });
    server.addService(GossipService, {
      read: (_call: unknown, answer: (error: null, response: object) => void) => answer(null, this.#cluster()),
    });
  }

  /** The cluster, as far as it matters: its leader. */
  #cluster() {
    const endPoint = new gossip.EndPoint();
    endPoint.setAddress(HOST);
    endPoint.setPort(this.leader);
    const member = new gossip.MemberInfo();
    member.setHttpEndPoint(endPoint);
    member.setIsAlive(true);
    member.setState(gossip.MemberInfo.VNodeState.LEADER);
    const cluster = new gossip.ClusterInfo();
    cluster.addMembers(member);
    return cluster;
  }
}

/** The methods by name, in lower case. The client takes the batch form of append only when it is listed. */
function supported() {
  const methods = new features.SupportedMethods();
  methods.setEventStoreServerVersion('23.10.0');
  for (const name of Object.keys(StreamsService)) {
    const method = new features.SupportedMethod();
    method.setServiceName('event_store.client.streams.streams');
    method.setMethodName(name.toLowerCase());
    methods.addMethods(method);
  }
  return methods;
}
