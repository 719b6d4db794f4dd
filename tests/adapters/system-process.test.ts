import { EventEmitter } from 'node:events';
import { chmod, mkdir, mkdtemp, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { restrictFiles } from '../../src/adapters/system/file-modes.ts';
import { createOutput } from '../../src/adapters/system/output.ts';
import { createLogger } from '../../src/adapters/system/pino-logger.ts';
import { handleStopSignals } from '../../src/adapters/system/stop-signals.ts';
import { silentLogger } from '../../src/kernel/logger.ts';
import { manualClock } from '../support/manual-clock.ts';

describe('an output', () => {
  it('drops and counts what cannot be written', async () => {
    const lines: string[] = [];
    let isGone = false;
    const stream = new Writable({
      autoDestroy: false,
      write(chunk, _encoding, done) {
        if (isGone) return done(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }));
        lines.push(String(chunk));
        done();
      },
    });
    const output = createOutput(stream);
    output.write('first\n');
    isGone = true;
    output.write('lost\n');
    await new Promise(setImmediate);
    expect([lines, output.dropped()]).toEqual([['first\n'], 1]);
  });

  it('holds at most 1 MiB for a reader that has stopped', () => {
    let release = (): void => {};
    let written = 0;
    const stream = new Writable({
      write(chunk, _encoding, done) {
        written += chunk.length;
        release = done;
      },
    });
    const output = createOutput(stream);
    const line = `${'x'.repeat(1_023)}\n`;
    for (let n = 0; n < 5_000; n++) output.write(line);
    expect(stream.writableLength).toBe(1_048_576);
    expect(output.dropped()).toBe(5_000 - 1_024);
    release();
    expect(written).toBe(2 * 1_024);
    output.write(line);
    expect(output.dropped()).toBe(5_000 - 1_024);
  });

  it('drops what is written after the stream was destroyed', () => {
    const stream = new Writable({ write: (_chunk, _encoding, done) => done() });
    const output = createOutput(stream);
    stream.destroy(new Error('gone'));
    output.write('line\n');
    expect(output.dropped()).toBe(1);
  });

  it('takes the lines of the log, with secrets redacted', () => {
    const lines: string[] = [];
    const logger = createLogger('info', { write: (text) => lines.push(text) });
    logger.debug({}, 'below the level');
    logger.info({ token: 'a secret', path: '/x' }, 'a line');
    expect(lines.map((line) => JSON.parse(line))).toEqual([
      expect.objectContaining({ level: 30, token: '[Redacted]', path: '/x', msg: 'a line' }),
    ]);
    expect(lines[0]).toMatch(/\n$/);
  });
});

describe('stop signals', () => {
  const listen = () => {
    const [source, clock, handled] = [new EventEmitter(), manualClock(), [] as string[]];
    handleStopSignals(source, clock, {
      stop: (signal) => handled.push(`stop ${signal}`),
      stopNow: (signal) => handled.push(`stop now ${signal}`),
    });
    return { source, clock, handled };
  };

  it('within a second are one request, and a later one stops at once', async () => {
    const { source, clock, handled } = listen();
    await clock.advance(50_000);
    source.emit('SIGINT');
    await clock.advance(5);
    source.emit('SIGINT');
    source.emit('SIGTERM');
    await clock.advance(994);
    source.emit('SIGINT');
    expect(handled).toEqual(['stop SIGINT']);
    await clock.advance(1);
    source.emit('SIGTERM');
    expect(handled).toEqual(['stop SIGINT', 'stop now SIGTERM']);
  });

  it.each(['SIGTERM', 'SIGINT', 'SIGHUP'])('include %s', (signal) => {
    const { source, handled } = listen();
    source.emit(signal);
    expect(handled).toEqual([`stop ${signal}`]);
  });
});

describe('files of an earlier version', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'parley-modes-'));
    await chmod(folder, 0o755);
  });
  afterEach(() => rm(folder, { recursive: true }));

  const modeOf = async (path: string): Promise<string> => ((await stat(path)).mode & 0o777).toString(8);
  const write = async (path: string): Promise<void> => {
    await writeFile(path, '');
    await chmod(path, 0o644);
  };

  it('are restricted to their owner; other files and the folder itself are not changed', async () => {
    const databases = ['events.db', 'documents.db', 'keys.db'].flatMap((name) => [name, `${name}-wal`, `${name}-shm`]);
    const own = ['secret', 'events.db.lock', ...databases];
    for (const name of [...own, 'notes.txt']) await write(join(folder, name));
    await mkdir(join(folder, 'outbox'), { mode: 0o755 });
    for (const name of ['1.eml', '2.eml.part', 'other']) await write(join(folder, 'outbox', name));

    await restrictFiles(folder, silentLogger);
    for (const name of own) expect([name, await modeOf(join(folder, name))]).toEqual([name, '600']);
    expect(await modeOf(join(folder, 'outbox'))).toBe('700');
    expect(await modeOf(join(folder, 'outbox', '1.eml'))).toBe('600');
    expect(await modeOf(join(folder, 'outbox', '2.eml.part'))).toBe('600');
    expect([await modeOf(join(folder, 'outbox', 'other')), await modeOf(join(folder, 'notes.txt'))]).toEqual([
      '644',
      '644',
    ]);
    expect(await modeOf(folder)).toBe('755');
  });

  it('are found next to a database that is a link', async () => {
    const other = await mkdtemp(join(tmpdir(), 'parley-modes-'));
    for (const name of ['log.db', 'log.db-wal']) await write(join(other, name));
    await symlink(join(other, 'log.db'), join(folder, 'events.db'));
    await restrictFiles(folder, silentLogger);
    expect([await modeOf(join(other, 'log.db')), await modeOf(join(other, 'log.db-wal'))]).toEqual(['600', '600']);
    await rm(other, { recursive: true });
  });

  it('need not exist', async () => {
    await restrictFiles(folder, silentLogger);
    expect(await readdir(folder)).toEqual([]);
  });
});
