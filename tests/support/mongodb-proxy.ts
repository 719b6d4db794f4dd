import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { BSON, type Document, MongoClient } from 'mongodb';
import { mongodb, urlOf } from './mongodb.ts';

/** What happens to a command: `cut` ends the connection before the server receives it, `cut answer` after the server has answered it. */
export type Verdict = 'pass' | 'cut' | 'cut answer';

/** A proxy between a store and the MongoDB of the tests. */
export type MongoProxy = Readonly<{
  /** The connection string through the proxy, with further options. The driver retries nothing by itself. */
  url(database: string, options?: Readonly<Record<string, string>>): string;
  /** Sets a function that decides on each command, which waits for the decision. By default all commands pass. */
  judge(verdict: (command: Document) => Verdict | Promise<Verdict>): void;
  /** While it is unavailable, existing and new connections are closed. */
  setAway(away: boolean): void;
  close(): Promise<void>;
}>;

/** Why no proxy can be used with the MongoDB of the tests; `null` when one can. */
export const missingForProxy: string | null =
  mongodb.available !== true
    ? mongodb.available
    : /^mongodb\+srv:|[?&](?:tls|ssl)=true/.test(mongodb.url)
      ? 'a proxy needs a connection without TLS'
      : null;

const HEADER_BYTES = 16;
const OP_MSG = 2_013;

export async function startMongoProxy(): Promise<MongoProxy> {
  const target = await primaryOf(mongodb.url);
  const sockets = new Set<Socket>();
  let isAway = false;
  let judge: (command: Document) => Verdict | Promise<Verdict> = () => 'pass';

  const server = createServer((client) => {
    if (isAway) return client.destroy();
    const upstream = connect(target);
    let isAnswerCut = false;
    let handled = Promise.resolve();
    const end = () => {
      client.destroy();
      upstream.destroy();
    };
    const forward = async (message: Buffer): Promise<void> => {
      const command = commandOf(message);
      const verdict = command === null ? 'pass' : await judge(command);
      if (verdict === 'cut') return end();
      isAnswerCut ||= verdict === 'cut answer';
      upstream.write(message);
    };
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      // An error is followed by `close`.
      socket.on('error', () => {});
      socket.on('close', () => {
        sockets.delete(socket);
        end();
      });
    }
    const split = splitter((message) => {
      handled = handled.then(() => forward(message));
    });
    client.on('data', split);
    upstream.on('data', (answer) => (isAnswerCut ? end() : client.write(answer)));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;

  const closeAll = () => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    url(database, options = {}) {
      const [, user = ''] = /^mongodb:\/\/([^/?]*@)?/.exec(mongodb.url) ?? [];
      const url = new URL(
        urlOf(mongodb.url, database).replace(/^mongodb:\/\/[^/]+/, `mongodb://${user}127.0.0.1:${port}`),
      );
      url.searchParams.delete('replicaSet');
      const noRetries = { directConnection: 'true', retryWrites: 'false', retryReads: 'false' };
      for (const [name, value] of Object.entries({ ...noRetries, ...options })) url.searchParams.set(name, value);
      return url.href;
    },
    judge(verdict) {
      judge = verdict;
    },
    setAway(away) {
      isAway = away;
      if (away) closeAll();
    },
    async close() {
      server.close();
      closeAll();
      await once(server, 'close');
    },
  };
}

/** The server that takes writes: the primary of a replica set. */
async function primaryOf(url: string): Promise<{ host: string; port: number }> {
  await using client = new MongoClient(url);
  const hello = await client.db('admin').command({ hello: 1 });
  const address: string = hello.primary ?? client.options.hosts[0]?.toString() ?? '';
  const at = address.lastIndexOf(':');
  return { host: address.slice(0, at), port: Number(address.slice(at + 1)) };
}

/** Splits a stream into messages, each of which begins with its length. */
function splitter(onMessage: (message: Buffer) => void): (chunk: Buffer) => void {
  let chunks: Buffer[] = [];
  let bytes = 0;
  let needed = HEADER_BYTES;
  return (chunk) => {
    chunks.push(chunk);
    bytes += chunk.length;
    // Joins the chunks of a large message once, when all of them have arrived.
    if (bytes < needed) return;
    let rest = Buffer.concat(chunks);
    while (rest.length >= HEADER_BYTES && rest.length >= rest.readInt32LE(0)) {
      const length = rest.readInt32LE(0);
      onMessage(rest.subarray(0, length));
      rest = rest.subarray(length);
    }
    chunks = [rest];
    bytes = rest.length;
    needed = rest.length >= HEADER_BYTES ? rest.readInt32LE(0) : HEADER_BYTES;
  };
}

/**
 * The command in a message, with the documents of further sections as the fields that they stand for. `null` for a message with an older opcode.
 * Without checksums, which drivers do not send.
 */
function commandOf(message: Buffer): Document | null {
  if (message.readInt32LE(12) !== OP_MSG) return null;
  let command: Document = {};
  // The flags come before the sections, each of which begins with its kind.
  for (let at = HEADER_BYTES + 4; at < message.length; ) {
    const kind = message[at++];
    const end = at + message.readInt32LE(at);
    if (kind === 0) command = { ...BSON.deserialize(message.subarray(at, end)), ...command };
    else command = { ...command, ...sequenceIn(message.subarray(at + 4, end)) };
    at = end;
  }
  return command;
}

/** A document sequence: the name of its field, then its documents. */
function sequenceIn(section: Buffer): Document {
  const nameEnd = section.indexOf(0);
  const documents: Document[] = [];
  for (let at = nameEnd + 1; at < section.length; at += section.readInt32LE(at)) {
    documents.push(BSON.deserialize(section.subarray(at, at + section.readInt32LE(at))));
  }
  return { [section.toString('utf8', 0, nameEnd)]: documents };
}
