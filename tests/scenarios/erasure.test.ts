import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished, vi } from 'vitest';
import { user } from '../../src/aggregates/user/decider.ts';
import type { StoredDocument } from '../../src/ports/documents.ts';
import { projections as catalogue } from '../../src/projections/models/catalogue.ts';
import { createProjections } from '../../src/projections/runner/projections.ts';
import { group, PASSWORD, type Person, read, type Server, signUp, startServer } from '../support/http.ts';
import { RecordingClient } from '../support/recording.ts';
import { openMemoryStores, system } from '../support/stores.ts';

const NAMES = catalogue.map(({ name }) => name);
const PATIENCE_MS = 20_000;
const BY_ACTIVITY = { fields: ['activity'], direction: 'asc' } as const;

/** Text that occurs nowhere else, so that its bytes can be searched for. */
const secretOf = (person: Person, what: string): string => `${what}-of-${person.username}-${person.userId.slice(0, 6)}`;

/** Everything of a person that must not be left anywhere. */
const tracesOf = (person: Person): readonly string[] => [
  person.email,
  `${person.username}-first`,
  secretOf(person, 'message'),
  secretOf(person, 'direct'),
  secretOf(person, 'group'),
  // As a search term: folded.
  secretOf(person, 'message').toLowerCase(),
];

async function everything(
  projections: ReturnType<typeof createProjections>,
): Promise<Record<string, StoredDocument[]>> {
  const found: Record<string, StoredDocument[]> = {};
  for (const { name, collections } of catalogue) {
    for (const collection of collections) {
      const path = `${name}/${collection.name}`;
      found[path] = [];
      let after: string | undefined;
      do {
        const query = { filter: {}, limit: 500, ...(after === undefined ? {} : { after }) };
        const page = await projections.readModels.find(path, query);
        found[path].push(...page.items);
        after = page.next ?? undefined;
      } while (after !== undefined);
    }
  }
  return found;
}

/** Erases a person at their own request, and waits until they have left their groups. Returns a position at which all of that is done. */
async function erase(server: Server, person: Person): Promise<string> {
  const payload = { currentPassword: PASSWORD };
  const erased = await server.ask(person, { method: 'DELETE', url: '/api/v1/users/me', payload });
  expect(erased.status).toBe(202);
  expect(await server.projections.readModels.waitFor(NAMES, erased.json.position, PATIENCE_MS)).toBe(true);
  const groups = async (): Promise<number> => {
    const query = { filter: { memberIds: { contains: person.userId } }, sort: BY_ACTIVITY, limit: 100 } as const;
    const { items } = await server.projections.readModels.find('conversations/conversations', query);
    return items.filter(({ body }) => body.kind === 'group').length;
  };
  await vi.waitFor(async () => expect(await groups()).toBe(0), PATIENCE_MS);
  return (await server.log.head()) ?? '';
}

async function filesWith(folder: string, text: string): Promise<readonly string[]> {
  const files = await readdir(folder);
  const found = await Promise.all(
    files.map(async (file) => ((await readFile(join(folder, file))).includes(text) ? [`${file}: ${text}`] : [])),
  );
  return found.flat();
}

it('erases each person of a busy log in turn, and nothing of their text is left', { timeout: 120_000 }, async () => {
  const folder = await mkdtemp(join(tmpdir(), 'parley-erasure-'));
  const server = await startServer({ folder });
  onTestFinished(async () => {
    await server.close();
    await rm(folder, { recursive: true });
  });
  const people: Person[] = [];
  for (const username of ['ann', 'bob', 'cid', 'dora']) {
    people.push(await signUp(server, username, { firstname: `${username}-first`, lastname: 'Example' }));
  }
  const [ann, bob, cid, dora] = people as [Person, Person, Person, Person];
  const eve = await signUp(server, 'eve');
  const early = new RecordingClient(eve.userId);
  const start = await server.hub.connect(early);
  server.hub.disconnect(early);

  const post = async (person: Person, url: string, payload: object): Promise<void> => {
    const { status } = await server.ask(person, { method: 'POST', url, payload });
    expect(status).toBe(202);
  };
  const groups: string[] = [];
  for (const owner of people) {
    const others = people.filter((other) => other !== owner);
    const id = await group(server, owner, ...others, eve);
    groups.push(id);
    await post(owner, '/api/v1/conversations', {
      name: secretOf(owner, 'group'),
      participants: [ann, bob].filter((p) => p !== owner).map((p) => p.userId),
    });
  }
  for (let round = 0; round < 12; round++) {
    for (const person of people) {
      for (const id of groups) {
        await post(person, `/api/v1/conversations/${id}/messages`, {
          content: `${round} ${secretOf(person, 'message')}`,
        });
      }
    }
  }
  for (const person of people) {
    const other = person === ann ? bob : ann;
    const url = `/api/v1/chat/convo/one-to-one/message?otherUserId=${other.userId}`;
    await post(person, url, { content: secretOf(person, 'direct') });
  }
  // Somebody who left is erased too.
  await post(dora, `/api/v1/conversations/${groups[0]}/leave`, {});
  await post(cid, `/api/v1/conversations/${groups[1]}/messages`, {
    content: 'x'.repeat(9_000) + secretOf(cid, 'message'),
  });

  for (const [index, person] of people.entries()) {
    for (const trace of tracesOf(person)) {
      // The log holds it sealed, from the first moment on.
      expect((await filesWith(folder, trace)).filter((file) => file.startsWith('events'))).toEqual([]);
    }
    const position = await erase(server, person);
    expect(await server.projections.readModels.waitFor(NAMES, position, PATIENCE_MS)).toBe(true);

    // Aggregates fold, and later commands work.
    expect((await server.commands.load(user, person.userId, 'cached')).state.status).toBe('erased');
    const refused = await server.ask(person, {
      method: 'POST',
      url: `/api/v1/conversations/${groups[index]}/messages`,
      payload: { content: 'after' },
    });
    expect(refused.status).toBe(401);
    const rest = people.slice(index + 1);
    for (const other of rest) {
      await post(other, `/api/v1/conversations/${groups[1]}/messages`, { content: 'still here' });
      const history = await read(server, other, `/api/v1/conversations/${groups[1]}/messages?limit=100`);
      expect(history.status).toBe(200);
      expect(history.text).not.toContain(secretOf(person, 'message'));
      expect(history.json.items.some(({ content }: { content: string | null }) => content === null)).toBe(true);
      const list = await read(server, other, '/api/v1/conversations');
      expect(list.text).not.toContain(secretOf(person, 'group'));
      const search = await read(server, other, `/api/v1/users?search=${person.username}`);
      expect(search.json.items).toEqual([]);
      expect((await read(server, other, `/api/v1/users/${person.userId}`)).status).toBe(404);
    }

    // A rebuild from the log equals what the node has made live.
    const fresh = await openMemoryStores();
    const rebuilt = createProjections({
      ...system,
      log: server.log,
      documents: fresh.documents,
      projections: catalogue,
      node: 'rebuild',
      run: true,
    });
    rebuilt.start();
    const head = (await server.log.head()) ?? '';
    expect(await rebuilt.readModels.waitFor(NAMES, head, PATIENCE_MS)).toBe(true);
    expect(await server.projections.readModels.waitFor(NAMES, head, PATIENCE_MS)).toBe(true);
    expect(await everything(server.projections)).toEqual(await everything(rebuilt));
    await rebuilt.close();
    await fresh.close();

    // No file holds a byte of it: log, documents, snapshots, search terms, keys.
    for (const trace of tracesOf(person)) expect(await filesWith(folder, trace)).toEqual([]);
  }
  // Nor does the buffer from which clients resume: a client that missed everything gets each frame, without the text.
  const resumed = new RecordingClient(eve.userId);
  await server.hub.connect(resumed);
  await server.hub.release(resumed, start, () => {});
  await vi.waitFor(() => expect(resumed.text).toContain('conversation:member:removed'));
  const sent = (await read(server, eve, `/api/v1/conversations/${groups[0]}/messages?limit=100`)).json.items.length;
  expect(sent).toBeGreaterThan(40);
  expect(resumed.text.split('message:sent').length - 1).toBeGreaterThanOrEqual(48 * people.length);
  for (const person of people) for (const trace of tracesOf(person)) expect(resumed.text).not.toContain(trace);
  server.hub.disconnect(resumed);
});
