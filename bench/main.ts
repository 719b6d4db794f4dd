/**
 * Prints each figure with a baseline measured in the same run, and their ratio. `npm run bench` runs all groups, `npm run bench -- appends` those
 * whose name contains that word. `BENCH_ROUNDS` (default 3) and `BENCH_SECONDS` (default 5) set the duration, `BENCH_MESSAGES`
 * (default 100,000) the messages of `endurance`; `BENCH_CPU_PROF=<folder>` writes CPU
 * profiles of the servers.
 */
import { appendFigures } from './figures/appends.ts';
import { enduranceFigures } from './figures/endurance.ts';
import { eventStoreDbFigures } from './figures/eventstoredb.ts';
import { httpFigures } from './figures/http.ts';
import { keyedFigures } from './figures/keyed.ts';
import { latencyFigures } from './figures/latency.ts';
import { mongoFigures } from './figures/mongodb.ts';
import { nodesFigures } from './figures/nodes.ts';
import { projectingFigures } from './figures/projecting.ts';
import { sealingFigures } from './figures/sealing.ts';
import { longStreamFigures } from './figures/streams.ts';
import { type Row, table } from './support/rounds.ts';

const wanted = process.argv.slice(2);
const groups: readonly (readonly [string, () => Promise<readonly Row[]>])[] = [
  ['appends', appendFigures],
  ['sealing', sealingFigures],
  ['http', httpFigures],
  ['streams', longStreamFigures],
  ['projecting', projectingFigures],
  ['latency', latencyFigures],
  ['endurance', enduranceFigures],
  ['eventstoredb', eventStoreDbFigures],
  ['keyed', keyedFigures],
  ['nodes', nodesFigures],
  ['mongodb', mongoFigures],
];

// The timers of the clock do not keep the process alive, and nothing else does.
const alive = setInterval(() => {}, 60_000);
const rows: Row[] = [];
for (const [name, figures] of groups) {
  if (wanted.length > 0 && !wanted.some((word) => name.includes(word))) continue;
  for (const row of await figures()) {
    rows.push(row);
    console.error(`${row.figure}: ${row.ratio} (at least ${row.bar}), ${row.verdict}`);
  }
}
clearInterval(alive);
console.log(table(rows));
