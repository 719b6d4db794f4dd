import { seconds } from './environment.ts';
import type { Sample } from './rounds.ts';

/** Has callers repeat their work for the time of one measurement. `work` gets the number of the caller, and the number of its earlier calls. */
export async function measureCallers(
  callers: number,
  work: (caller: number, n: number) => Promise<void>,
): Promise<Sample> {
  const end = performance.now() + seconds() * 1_000;
  let done = 0;
  const call = async (caller: number): Promise<void> => {
    for (let n = 0; performance.now() < end; n++) {
      await work(caller, n);
      done++;
    }
  };
  return measure(
    () => Promise.all(Array.from({ length: callers }, (_, caller) => call(caller))),
    () => done,
  );
}

/** Measures the rate of some work, and the processor time of this process for each operation. `count`: the number of operations, read at the end. */
export async function measure(work: () => Promise<unknown>, count: () => number): Promise<Sample> {
  const before = process.cpuUsage();
  const startedAt = performance.now();
  await work();
  const ms = performance.now() - startedAt;
  const { user, system } = process.cpuUsage(before);
  return { rate: (count() / ms) * 1_000, cpuMicros: (user + system) / count() };
}
