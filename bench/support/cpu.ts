import { readFileSync } from 'node:fs';

/** Clock ticks a second, as Linux counts processor time. */
const TICKS = 100;

/** Processor time that a process has used so far, in ms; `null` where the system does not tell. Independent of what else the machine does. */
export function cpuMs(pid: number | undefined): number | null {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
    return ((Number(fields[11]) + Number(fields[12])) / TICKS) * 1_000;
  } catch {
    // Not Linux, or the process is gone.
    return null;
  }
}
