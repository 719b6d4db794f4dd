import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Asking, group, type Person, type Server, signUp, startServer } from '../support/http.ts';
import { addressOf, open } from '../support/live.ts';

let server: Server;
let ada: Person;

beforeAll(async () => {
  server = await startServer();
  ada = await signUp(server, 'ada');
});
afterAll(() => server.close());

const send = (team: string, content: string): Asking => {
  return { method: 'POST', url: `/api/v1/conversations/${team}/messages`, payload: { content } };
};

const contentsOf = async (team: string) =>
  (await server.log.readStream(`conversation-${team}`)).events.flatMap(({ data }) => data.content ?? []);

/** Resolves once the command that sends this message waits to be handled. */
function waits(content: string): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const { send } = server.conversations;
  const observed: typeof send = (id, message, context) => {
    if (message.content === content) resolve();
    return send(id, message, context);
  };
  Object.assign(server.conversations, { send: observed });
  return promise;
}

/** Holds the appends to a conversation. `isHeld` resolves with the first. */
function hold(team: string) {
  const [gate, isHeld] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  server.events.beforeAppend.hook = async (stream) => {
    if (stream !== `conversation-${team}`) return;
    isHeld.resolve();
    await gate.promise;
  };
  return { isHeld: isHeld.promise, release: () => gate.resolve() };
}

/** A client over HTTP and one over a WebSocket. `begin` connects; `send` sends a message without waiting for its answer; `leave` closes the connection. */
const clients = {
  async HTTP(team: string, content: string) {
    const { port } = await addressOf(server);
    const accepted = once(server.app.server, 'connection');
    const socket = connect(port, '127.0.0.1');
    const [[at]] = await Promise.all([accepted as Promise<[Socket]>, once(socket, 'connect')]);
    const body = JSON.stringify({ content });
    return {
      send() {
        socket.write(
          [
            `POST /api/v1/conversations/${team}/messages HTTP/1.1`,
            'Host: parley.test',
            `Authorization: Bearer ${ada.accessToken}`,
            'Content-Type: application/json',
            `Content-Length: ${body.length}`,
            '',
            body,
          ].join('\r\n'),
        );
      },
      async leave() {
        const closed = once(at, 'close');
        socket.destroy();
        await closed;
      },
    };
  },
  async WebSocket(team: string, content: string) {
    const live = await open(server);
    await live.request({ type: 'auth', token: ada.accessToken });
    return {
      send: () => live.send({ type: 'send', conversationId: team, content }),
      async leave() {
        const closed = Promise.all([...server.app.websocketServer.clients].map((socket) => once(socket, 'close')));
        await live.close();
        await closed;
      },
    };
  },
};

describe.each(Object.entries(clients))('a client over %s', (_name, begin) => {
  it('that leaves before its command was decided cancels it, and the commands of others are handled', async () => {
    const team = await group(server, ada);
    const held = hold(team);
    const first = server.ask(ada, send(team, 'first'));
    await held.isHeld;
    const waiting = waits('cancelled');
    const client = await begin(team, 'cancelled');
    client.send();
    await waiting;
    await client.leave();
    const last = server.ask(ada, send(team, 'last'));
    held.release();
    expect([(await first).status, (await last).status]).toEqual([202, 202]);
    expect(await contentsOf(team)).toEqual(['first', 'last']);
  });

  it('that stays has its command handled', async () => {
    const team = await group(server, ada);
    const held = hold(team);
    const first = server.ask(ada, send(team, 'first'));
    await held.isHeld;
    const waiting = waits('kept');
    const client = await begin(team, 'kept');
    client.send();
    await waiting;
    const last = server.ask(ada, send(team, 'last'));
    held.release();
    await Promise.all([first, last]);
    await client.leave();
    expect(await contentsOf(team)).toEqual(['first', 'kept', 'last']);
  });
});
