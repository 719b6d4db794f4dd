import { describe, expect, it } from 'vitest';
import { eventRegistry } from '../../src/aggregates/registry.ts';
import type { EventRegistry } from '../../src/kernel/event-definition.ts';
import type { JsonObject } from '../../src/kernel/json.ts';
import { createSealer } from '../../src/kernel/sealing.ts';
import { SEALED, SEALED_FORM, sealedEntriesOf } from '../../src/log/sealed-fields.ts';
import type { StoredRecord } from '../../src/ports/event-store.ts';
import type { KeyStore } from '../../src/ports/keys.ts';
import { seededRandom } from '../support/seeded-random.ts';
import {
  addMissing,
  codecOf,
  fixedKeys,
  type Golden,
  pathOf,
  pathsIn,
  readGolden,
  readJson,
  recordOf,
  samples,
} from './golden-records.ts';

if (process.env.ADD_GOLDEN === '1') await addMissing(new Set((await readGolden()).map(({ path }) => path)));

const files = await readGolden();
const paths = files.map(({ path }) => path);

/** The registry as it was when the type had this version. */
const registryAt = (type: string, version: number): EventRegistry => {
  const definition = eventRegistry.get(type);
  if (definition === undefined) throw new Error(`there is no type '${type}' any more`);
  return new Map([[type, { ...definition, version, upcasters: definition.upcasters.slice(0, version - 1) }]]);
};

async function decoded({ record }: Golden, registry: EventRegistry, keys: KeyStore) {
  const place = { stream: 'golden-1', revision: 0n, position: '0000000000000001', recordedAt: '2026-01-02T03:04:05Z' };
  const stored: StoredRecord = { ...record, ...place };
  const [event] = await codecOf(registry, keys).decode([stored]);
  return event!;
}

describe('golden records', () => {
  it('exist of every type of event in its current schema version and the current form', () => {
    const current = [...eventRegistry].map(([type, { version }]) => `${SEALED_FORM}/${type}.v${version}.json`);
    expect(paths).toEqual(expect.arrayContaining(current));
  });

  it('exist of every sample', () => {
    expect(paths).toEqual(expect.arrayContaining(Object.keys(samples).map(pathOf)));
  });

  it.each(files)('$path opens to the same data as ever', async (file) => {
    const { type, schemaVersion, id, metadata } = file.record;
    const registry = registryAt(type, schemaVersion);
    const event = await decoded(file, registry, fixedKeys(file.keys));
    expect(event).toMatchObject({ id, type, schemaVersion, metadata });
    expect(event.data).toStrictEqual(file.opened);
    expect((await decoded(file, registry, fixedKeys(file.keys, true))).data).toStrictEqual(file.erased);
    expect((await decoded(file, registry, fixedKeys({}))).data).toStrictEqual(file.erased);
  });

  it.each(files)('$path is brought up to the current version, and fits its schema', async (file) => {
    const definition = eventRegistry.get(file.record.type)!;
    const event = await decoded(file, eventRegistry, fixedKeys(file.keys));
    expect(event.schemaVersion).toBe(definition.version);
    expect(definition.check(event.data)).toBeNull();
    const erased = await decoded(file, eventRegistry, fixedKeys(file.keys, true));
    for (const field of Object.keys(definition.personal)) {
      if (event.data[definition.personal[field]!] !== null) expect(erased.data[field]).toBeNull();
    }
  });

  it.each(Object.keys(samples))('%s is still stored exactly as in its file', async (sample) => {
    const { keys, record, opened } = await readJson<Golden>(pathOf(sample));
    expect(opened).toStrictEqual(samples[sample]);
    expect(await recordOf(sample, keys)).toStrictEqual(record);
  });

  it.each(files)('$path contains no personal text in its record', ({ record, opened, erased }) => {
    for (const [field, value] of Object.entries(opened)) {
      if (erased[field] !== null || value === null) continue;
      expect(record.data).not.toContain(JSON.stringify(value).slice(1, -1));
    }
  });

  it.each(files)('$path has the type, version and form of its name, and the keys of its persons', (file) => {
    const { type, schemaVersion, data: text } = file.record;
    expect(file.path).toMatch(new RegExp(`^${file.form}/${type}\\.v${schemaVersion}\\.([a-z-]+\\.)?json$`));
    const data: JsonObject = JSON.parse(text);
    const persons = (sealedEntriesOf(data) ?? []).map(([personField]) => String(data[personField]));
    if (persons.length > 0) expect((data[SEALED] as readonly unknown[])[0]).toBe(file.form);
    expect(Object.keys(file.keys)).toEqual([...new Set(persons)]);
  });
});

describe('golden secrets of the key store', async () => {
  type GoldenSecret = Readonly<{ serverSecret: string; name: string; secret: string; sealed: string; seed: string }>;

  const sealerOf = ({ serverSecret, seed }: GoldenSecret) =>
    createSealer(Buffer.from(serverSecret), seededRandom(seed));
  const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');

  it.each(await pathsIn('key-store'))('%s opens to the same secret as ever', async (path) => {
    const golden = await readJson<GoldenSecret>(path);
    const sealed = Buffer.from(golden.sealed, 'base64');
    expect(path).toBe(`key-store/${sealed[0]}.json`);
    expect(base64(sealerOf(golden).open(golden.name, sealed))).toBe(golden.secret);
  });

  it('include one of the form in which secrets are sealed now, exactly as it is sealed now', async () => {
    const secret = Buffer.from('any secret');
    const [form] = createSealer(Buffer.alloc(32), seededRandom('any')).seal('any/name', secret);
    const golden = await readJson<GoldenSecret>(`key-store/${form}.json`);
    expect(base64(sealerOf(golden).seal(golden.name, Buffer.from(golden.secret, 'base64')))).toBe(golden.sealed);
  });
});
