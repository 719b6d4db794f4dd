import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { NewEvent } from '../../src/kernel/event.ts';
import type { JsonObject } from '../../src/kernel/json.ts';
import type { StoredRecord } from '../../src/ports/event-store.ts';
import { followed, newEvent, newStream, note, openTestStores, type TestStores } from './fixtures.ts';

const letter = (data: JsonObject = {}): NewEvent =>
  newEvent('LetterSent', {
    senderId: 'ann',
    receiverId: 'bob',
    stamp: 7,
    subject: 'secret subject',
    text: 'secret täxt 🙂',
    answer: 'secret answer',
    ...data,
  });

const rawOf = async ({ store }: TestStores, stream: string): Promise<readonly StoredRecord[]> =>
  (await store.readStream(stream, { from: null, direction: 'forwards', limit: 4_096 })).records;

const parsed = ({ data }: StoredRecord): JsonObject => JSON.parse(data);

/** Appends one event, and returns its raw record. */
async function sealed(stores: TestStores, event: NewEvent): Promise<StoredRecord> {
  const stream = newStream();
  await stores.log.append(stream, [event], { expect: 'none' });
  const [record] = await rawOf(stores, stream);
  return record!;
}

const SECRET = /secret|täxt|🙂/;

describe('personal fields', () => {
  it('are stored sealed, in a form that names the fields and the field with the id of the person', async () => {
    const stores = await openTestStores();
    const record = await sealed(stores, letter());
    expect(record.data).not.toMatch(SECRET);
    expect(parsed(record)).toEqual({
      senderId: 'ann',
      receiverId: 'bob',
      stamp: 7,
      $: [
        1,
        ['senderId', 'subject,text', expect.stringMatching(/^[A-Za-z0-9+/]+=*$/)],
        ['receiverId', 'answer', expect.stringMatching(/^[A-Za-z0-9+/]+=*$/)],
      ],
    });
    // A nonce of 12 bytes, the JSON text, and a tag of 16 bytes.
    const [, , base64] = (parsed(record).$ as unknown as string[][])[2]!;
    expect(Buffer.from(base64!, 'base64').length).toBe(12 + JSON.stringify(['secret answer']).length + 16);
  });

  it('are in none of the files of the store', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'parley-sealing-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    const { log, store, keys } = await openTestStores({ folder });
    const stream = newStream();
    await log.append(stream, [letter(), note('plain, to be found'), letter({ text: 'secret x'.repeat(1_000) })], {
      expect: 'none',
    });
    const read = async () => {
      const files = await readdir(folder);
      expect(files).toContain('events.db');
      return Promise.all(files.map((file) => readFile(join(folder, file))));
    };
    const live = await read();
    await store.close();
    await keys.close();
    for (const files of [live, await read()]) {
      expect(files.some((bytes) => bytes.includes('plain, to be found'))).toBe(true);
      for (const bytes of files) {
        for (const text of ['secret', 'täxt', '🙂']) expect(bytes.includes(text)).toBe(false);
        expect(bytes.includes(Buffer.from('secret').toString('base64'))).toBe(false);
      }
    }
  });

  it('open to what was sealed, on every node', async () => {
    const { log, another } = await openTestStores();
    const stream = newStream();
    const texts = ['', 'a', 'Grüße, 你好, 👩‍👩‍👧‍👦, \u0000, \u2028, "quoted" \\', 'x'.repeat(100_000)];
    const events = texts.map((text) => letter({ text }));
    await log.append(stream, events, { expect: 'none' });
    for (const each of [log, another().log]) {
      const data = (await each.readStream(stream)).events.map((event) => event.data);
      expect(data).toStrictEqual(events.map((event) => event.data));
    }
  });

  it('may be of any JSON form', async () => {
    const { log, another } = await openTestStores();
    const stream = newStream();
    const text = { list: [1, null, 'a'], nested: { flag: true } };
    await log.append(stream, [letter({ text, subject: ['a'], answer: 0 })], { expect: 'none' });
    expect((await another().log.readStream(stream)).events[0]?.data).toMatchObject({ text, subject: ['a'], answer: 0 });
  });

  it('that are null, or of no person, are stored as they are', async () => {
    const stores = await openTestStores();
    const none = { subject: null, text: null, answer: null };
    expect(parsed(await sealed(stores, letter(none)))).toEqual({
      senderId: 'ann',
      receiverId: 'bob',
      stamp: 7,
      ...none,
    });
    const unknown = letter({ senderId: null, subject: 'of no person', text: 'of no person' });
    const record = parsed(await sealed(stores, unknown));
    expect(record).toMatchObject({ senderId: null, subject: 'of no person', text: 'of no person' });
    expect(record.$).toEqual([1, ['receiverId', 'answer', expect.any(String)]]);
    const some = parsed(await sealed(stores, letter({ subject: null })));
    expect([some.subject, (some.$ as JsonObject[])[1]]).toEqual([null, ['senderId', 'text', expect.any(String)]]);
    expect(parsed(await sealed(stores, note('a')))).toEqual({ text: 'a' });
  });

  it('of one person in two roles are sealed separately', async () => {
    const stores = await openTestStores();
    const record = await sealed(stores, letter({ receiverId: 'ann' }));
    expect(parsed(record).$).toHaveLength(3);
    const { events } = await stores.another().log.readStream(record.stream);
    expect(events[0]?.data).toEqual(letter({ receiverId: 'ann' }).data);
  });

  it('do not change the data of the event that is appended', async () => {
    const { log } = await openTestStores();
    const event = letter();
    const before = structuredClone(event.data);
    await log.append(newStream(), [event], { expect: 'none' });
    expect(event.data).toStrictEqual(before);
  });
});

describe('a sealed value', () => {
  /** Appends a changed copy of a sealed record and reads it. */
  async function reading(change: (record: StoredRecord, data: Record<string, unknown>) => Partial<StoredRecord>) {
    const stores = await openTestStores();
    const record = await sealed(stores, letter());
    const data = parsed(record) as Record<string, unknown>;
    const changed = { ...record, data: '', ...change(record, data) };
    const stream = newStream();
    const { source: _, ...plain } = changed;
    await stores.store.append(stream, [{ ...plain, data: changed.data || JSON.stringify(data) }], { expect: 'none' });
    const { log } = stores.another();
    const outcomes = await Promise.allSettled([
      log.readStream(stream),
      log.readAll({ direction: 'backwards', from: null, limit: 1 }),
      followed(log),
    ]);
    return outcomes;
  }

  const entries = (data: Record<string, unknown>) =>
    (data.$ as [number, ...[string, string, string][]]).slice(1) as [string, string, string][];

  /** Inverts one bit of the bytes that are encoded in base64. */
  function flip(base64: string, at: number): string {
    const bytes = Buffer.from(base64, 'base64');
    const index = at < 0 ? bytes.length + at : at;
    bytes[index] = (bytes[index] ?? 0) ^ 1;
    return bytes.toString('base64');
  }

  it('opens in an unchanged copy of its record, in whatever stream', async () => {
    const outcomes = await reading(() => ({}));
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'fulfilled']);
  });

  it.each<[string, Parameters<typeof reading>[0]]>([
    ['another event', () => ({ id: '00000000-0000-4000-8000-000000000000' })],
    ['another type of event', () => ({ type: 'NoteTaken' })],
    [
      'other fields',
      (_, data) => {
        entries(data)[0]![1] = 'text,subject';
        return {};
      },
    ],
    [
      'fewer fields',
      (_, data) => {
        entries(data)[0]![1] = 'subject';
        return {};
      },
    ],
    [
      'another person',
      (_, data) => {
        data.senderId = 'bob';
        return {};
      },
    ],
    [
      'the fields of another person',
      (_, data) => {
        const [first, second] = entries(data);
        [first![2], second![2]] = [second![2], first![2]];
        return {};
      },
    ],
    [
      'a changed nonce',
      (_, data) => {
        entries(data)[0]![2] = flip(entries(data)[0]![2], 0);
        return {};
      },
    ],
    [
      'a changed text',
      (_, data) => {
        entries(data)[0]![2] = flip(entries(data)[0]![2], 12);
        return {};
      },
    ],
    [
      'a changed tag',
      (_, data) => {
        entries(data)[0]![2] = flip(entries(data)[0]![2], -1);
        return {};
      },
    ],
    [
      'a text that was cut off',
      (_, data) => {
        entries(data)[0]![2] = entries(data)[0]![2].slice(0, 24);
        return {};
      },
    ],
    [
      'no text',
      (_, data) => {
        entries(data)[0]![2] = '';
        return {};
      },
    ],
  ])('does not open with %s', async (_what, change) => {
    for (const outcome of await reading(change)) {
      expect(outcome).toMatchObject({
        status: 'rejected',
        reason: { code: 'UNAVAILABLE', message: expect.stringContaining('cannot be decoded') },
      });
    }
  });

  it.each([2, 0, null, 'x'])('of the form %j, which this program does not know, does not open', async (form) => {
    const outcomes = await reading((_, data) => {
      (data.$ as unknown[])[0] = form;
      return {};
    });
    for (const outcome of outcomes) {
      expect(outcome).toMatchObject({
        status: 'rejected',
        reason: { code: 'UNAVAILABLE', message: expect.stringContaining('damaged') },
      });
    }
  });
});
