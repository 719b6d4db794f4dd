import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readOrCreateSecret } from '../../src/adapters/system/secret-file.ts';
import { createSystemClock } from '../../src/adapters/system/system-clock.ts';

describe('the secret of an embedded server', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'parley-secret-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  it('is made at the first start, for its owner’s eyes only, in a folder that may not be there yet', async () => {
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

  it('is one for all who start at the same time', async () => {
    const secrets = await Promise.all(Array.from({ length: 20 }, () => readOrCreateSecret(folder)));
    expect(new Set(secrets).size).toBe(1);
    expect(await readdir(folder)).toEqual(['secret']);
  });

  it('is never replaced when its file holds none', async () => {
    await writeFile(join(folder, 'secret'), 'cut off');
    await expect(readOrCreateSecret(folder)).rejects.toThrow(/holds no secret of at least 32 characters$/);
    expect(await readFile(join(folder, 'secret'), 'utf8')).toBe('cut off');
  });

  it('cannot be made where there can be no folder', async () => {
    await writeFile(join(folder, 'file'), '');
    await expect(readOrCreateSecret(join(folder, 'file'))).rejects.toMatchObject({ code: 'EEXIST' });
  });
});

describe('the system clock', () => {
  const clock = createSystemClock();

  it('tells the time of the machine, and one that only moves forward', () => {
    expect(Math.abs(clock.now() - Date.now())).toBeLessThan(1_000);
    const first = clock.monotonic();
    expect(clock.monotonic()).toBeGreaterThanOrEqual(first);
  });

  it('sleeps no shorter than it is told', async () => {
    const before = clock.monotonic();
    await clock.sleep(20);
    expect(clock.monotonic() - before).toBeGreaterThanOrEqual(19);
  });

  it('wakes at once when the sleeper is called off, before or meanwhile', async () => {
    const calledOff = new AbortController();
    const sleeping = clock.sleep(60 * 60_000, calledOff.signal);
    calledOff.abort();
    await sleeping;
    await clock.sleep(60 * 60_000, calledOff.signal);
  });

  it('takes times beyond what a timer can hold', async () => {
    const calledOff = new AbortController();
    let isAwake = false;
    const sleeping = clock.sleep(2 ** 40, calledOff.signal).then(() => {
      isAwake = true;
    });
    await clock.sleep(10);
    expect(isAwake).toBe(false);
    calledOff.abort();
    await sleeping;
  });
});
