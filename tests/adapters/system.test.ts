import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readOrCreateSecret } from '../../src/adapters/system/secret-file.ts';
import { createSystemClock } from '../../src/adapters/system/system-clock.ts';
import { createSystemRandom } from '../../src/adapters/system/system-random.ts';
import { OBJECT_ID, UUID } from '../../src/kernel/ids.ts';

describe('the secret of an embedded server', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'parley-secret-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  it('is created at the first start, readable by its owner only, including the folder', async () => {
    const dataDir = join(folder, 'a', 'b');
    expect(await readOrCreateSecret(dataDir)).toMatch(/^[A-Za-z0-9_-]{43}$/);
    expect((await stat(join(dataDir, 'secret'))).mode & 0o777).toBe(0o600);
    expect(await readdir(dataDir)).toEqual(['secret']);
  });

  it('is the same at the next start', async () => {
    const secret = await readOrCreateSecret(folder);
    expect(await readOrCreateSecret(folder)).toBe(secret);
    expect((await readFile(join(folder, 'secret'), 'utf8')).trim()).toBe(secret);
  });

  it('is the same for processes that start at the same time', async () => {
    const secrets = await Promise.all(Array.from({ length: 20 }, () => readOrCreateSecret(folder)));
    expect(new Set(secrets).size).toBe(1);
    expect(await readdir(folder)).toEqual(['secret']);
  });

  it('is never replaced when its file does not contain a valid one', async () => {
    await writeFile(join(folder, 'secret'), 'cut off');
    await expect(readOrCreateSecret(folder)).rejects.toThrow(/does not contain a secret of at least 32 characters$/);
    expect(await readFile(join(folder, 'secret'), 'utf8')).toBe('cut off');
  });

  it('cannot be created where no folder can be created', async () => {
    await writeFile(join(folder, 'file'), '');
    await expect(readOrCreateSecret(join(folder, 'file'))).rejects.toMatchObject({ code: 'EEXIST' });
  });
});

describe('the system clock', () => {
  const clock = createSystemClock();

  it('returns the time of the machine, and a monotonic time', () => {
    expect(Math.abs(clock.now() - Date.now())).toBeLessThan(1_000);
    const first = clock.monotonic();
    expect(clock.monotonic()).toBeGreaterThanOrEqual(first);
  });

  it('sleeps at least as long as requested', async () => {
    const before = clock.monotonic();
    await clock.sleep(20);
    expect(clock.monotonic() - before).toBeGreaterThanOrEqual(19);
  });

  it('resolves at once when the signal is aborted, before or while sleeping', async () => {
    const aborted = new AbortController();
    const sleeping = clock.sleep(60 * 60_000, aborted.signal);
    aborted.abort();
    await sleeping;
    await clock.sleep(60 * 60_000, aborted.signal);
  });

  it('accepts times longer than a timer of Node.js supports', async () => {
    const aborted = new AbortController();
    let isAwake = false;
    const sleeping = clock.sleep(2 ** 40, aborted.signal).then(() => {
      isAwake = true;
    });
    await clock.sleep(10);
    expect(isAwake).toBe(false);
    aborted.abort();
    await sleeping;
  });

  it('calls back once after a delay, unless it was cancelled', async () => {
    const fired: string[] = [];
    const called = Promise.withResolvers<void>();
    clock.after(1, () => fired.push('cancelled')).cancel();
    const timer = clock.after(5, () => {
      fired.push('fired');
      called.resolve();
    });
    await called.promise;
    await clock.sleep(10);
    expect(fired).toEqual(['fired']);
    timer.cancel();
    timer.cancel();
  });

  it('calls back at intervals until it is cancelled', async () => {
    const called = Promise.withResolvers<void>();
    let count = 0;
    const timer = clock.every(2, () => {
      count++;
      if (count < 3) return;
      timer.cancel();
      called.resolve();
    });
    await called.promise;
    await clock.sleep(10);
    expect(count).toBe(3);
  });

  it('lets I/O and other work run before the next turn', async () => {
    const order: string[] = [];
    const turn = clock.nextTurn().then(() => order.push('next turn'));
    await Promise.resolve().then(() => order.push('this turn'));
    process.nextTick(() => order.push('tick'));
    await turn;
    expect(order).toEqual(['this turn', 'tick', 'next turn']);
  });
});

describe('the system random generator', () => {
  const random = createSystemRandom();

  it('returns the requested number of bytes, which later calls do not change', () => {
    const sizes = [0, 1, 12, 4_095, 4_096, 4_097, 100_000];
    const all = sizes.map((size) => random.bytes(size));
    const copies = all.map((bytes) => bytes.toString('hex'));
    for (let i = 0; i < 1_000; i++) random.bytes(16).fill(0);
    expect(all.map(({ length }) => length)).toEqual(sizes);
    expect(all.map((bytes) => bytes.toString('hex'))).toEqual(copies);
    expect(new Set(copies).size).toBe(sizes.length);
  });

  it('returns each byte once', () => {
    const seen = new Set(Array.from({ length: 10_000 }, () => random.bytes(12).toString('hex')));
    expect(seen.size).toBe(10_000);
  });

  it('returns fractions from 0 to 1', () => {
    const fractions = Array.from({ length: 1_000 }, () => random.fraction());
    expect(fractions.every((fraction) => fraction >= 0 && fraction < 1)).toBe(true);
    expect(new Set(fractions).size).toBeGreaterThan(900);
  });

  it('creates well-formed, unique ids', () => {
    const count = 100_000;
    const objectIds = Array.from({ length: count }, () => random.objectId());
    const uuids = Array.from({ length: count }, () => random.uuid(1_645_557_742_000));
    expect(objectIds.every((id) => OBJECT_ID.test(id))).toBe(true);
    expect(uuids.every((id) => UUID.test(id) && /^017f22e2-79b0-7...-[89ab]/.test(id))).toBe(true);
    expect(new Set(objectIds).size).toBe(count);
    expect(new Set(uuids).size).toBe(count);
  });

  it('creates another id at each call as an id source, even for the same name', () => {
    const { ids } = random;
    expect(ids.objectId('x')).toMatch(OBJECT_ID);
    expect(ids.objectId('x')).not.toBe(ids.objectId('x'));
    expect(ids.uuid('x', 0)).toMatch(UUID);
    expect(ids.uuid('x', 0)).not.toBe(ids.uuid('x', 0));
  });
});
