import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Reporter, TestModule, Vitest } from 'vitest/node';
import { SERVICES_FILE, type ServiceNote } from './services.ts';

type Counts = { passed: number; failed: number; skipped: number };

/**
 * Ends the output of a run with the services that the tests ran against or lacked, and why, the number of tests that were skipped, if any, and as the
 * last line `N passed, N failed`.
 */
export default class RunReporter implements Reporter {
  readonly #file = join(mkdtempSync(join(tmpdir(), 'parley-tests-')), 'services.jsonl');
  #counts: Counts | undefined;
  #watching = false;

  onInit(vitest: Vitest): void {
    this.#watching = vitest.config.watch;
    writeFileSync(this.#file, '');
    // Workers inherit it; they start later.
    process.env[SERVICES_FILE] = this.#file;
    // Others may print after the end of the run, such as an error in a teardown. This is the last line only at the exit.
    process.once('exit', () => {
      if (!this.#watching) this.#print();
      rmSync(dirname(this.#file), { recursive: true, force: true });
    });
  }

  onWatcherRerun(): void {
    writeFileSync(this.#file, '');
  }

  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    this.#counts = count(modules, unhandledErrors.length);
    if (this.#watching) this.#print();
  }

  #print(): void {
    const { passed, failed, skipped } = this.#counts ?? { passed: 0, failed: 0, skipped: 0 };
    // A run that failed without a failed test (no tests found, a broken set-up) counts as one failure.
    const broken = failed === 0 && (this.#counts === undefined || Boolean(process.exitCode)) ? 1 : 0;
    const lines = [
      ...describeServices(readNotes(this.#file)),
      ...(skipped > 0 ? [`${skipped} skipped`] : []),
      `${passed} passed, ${failed + broken} failed`,
    ];
    process.stdout.write(`${lines.join('\n')}\n`);
  }
}

/** Counts tests. A file that cannot be loaded and a hook that throws count as failures too. */
function count(modules: readonly TestModule[], unhandledErrors: number): Counts {
  const counts: Counts = { passed: 0, failed: unhandledErrors, skipped: 0 };
  for (const module of modules) {
    for (const suite of [module, ...module.children.allSuites()]) counts.failed += suite.errors().length;
    for (const test of module.children.allTests()) {
      const { state } = test.result();
      // A test that is pending at the end: its worker died.
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
