import { readFileSync } from 'node:fs';

/** Clock ticks per second in which Linux counts processor time. */
const TICKS = 100;

/** Processor time of a process until now, in ms, which does not depend on other load of the machine; `null` where the system does not report it. */
export function cpuMs(pid: number | undefined): number | null {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
    return ((Number(fields[11]) + Number(fields[12])) / TICKS) * 1_000;
  } catch {
    // Not Linux, or the process has ended.
    return null;
  }
}
