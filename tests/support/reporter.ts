import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Reporter, TestModule, Vitest } from 'vitest/node';
import { SERVICES_FILE, type ServiceNote } from './services.ts';

type Counts = { passed: number; failed: number; skipped: number };

/**
 * Ends a run with what the tests ran against, what was skipped and why, and as the very last line
 * `N passed, N failed` (with `, N skipped` when some were).
 */
export default class RunReporter implements Reporter {
  private readonly file = join(mkdtempSync(join(tmpdir(), 'parley-tests-')), 'services.jsonl');
  private counts: Counts | undefined;
  private watching = false;

  onInit(vitest: Vitest): void {
    this.watching = vitest.config.watch;
    writeFileSync(this.file, '');
    // Workers inherit it; they start later.
    process.env[SERVICES_FILE] = this.file;
    // Other parts still speak after the run's end (a slow close, an error in a teardown), hence only here is it the end.
    process.once('exit', () => {
      if (!this.watching) this.print();
      rmSync(dirname(this.file), { recursive: true, force: true });
    });
  }

  onWatcherRerun(): void {
    writeFileSync(this.file, '');
  }

  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    this.counts = count(modules, unhandledErrors.length);
    if (this.watching) this.print();
  }

  private print(): void {
    const { passed, failed, skipped } = this.counts ?? { passed: 0, failed: 0, skipped: 0 };
    // A run that did not work, though no test failed (nothing found, a broken set-up), is one failure.
    const broken = failed === 0 && (this.counts === undefined || Boolean(process.exitCode)) ? 1 : 0;
    const line = `${passed} passed, ${failed + broken} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`;
    process.stdout.write(`${[...describeServices(readNotes(this.file)), line].join('\n')}\n`);
  }
}

/** Tests, and what kept tests from running: a file that cannot be loaded or a hook that throws is a failure too. */
function count(modules: readonly TestModule[], unhandledErrors: number): Counts {
  const counts: Counts = { passed: 0, failed: unhandledErrors, skipped: 0 };
  for (const module of modules) {
    for (const suite of [module, ...module.children.allSuites()]) counts.failed += suite.errors().length;
    for (const test of module.children.allTests()) {
      const { state } = test.result();
      // Pending at the end: its worker died.
      counts[state === 'pending' ? 'failed' : state] += 1;
    }
  }
  return counts;
}

function readNotes(file: string): ServiceNote[] {
  const lines = readFileSync(file, 'utf8').split('\n');
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as ServiceNote);
}

function describeServices(notes: readonly ServiceNote[]): string[] {
  if (notes.length === 0) return [];
  const lines = notes.map(({ name, missing }) =>
    missing === null ? `  ran      ${name}` : `  skipped  ${name}: ${missing}`,
  );
  return ['Services', ...[...new Set(lines)].sort(), ''];
}
