/**
 * A separate process that erases a person and is killed on the way: `node erasure.child.ts <folder> <access token> <password> <step>`. Kills itself by
 * SIGKILL right before the step with this number (from 1): an append, or the destruction of a key. Exits with 0 once all groups were left before that.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { createMemoryLimits } from '../../src/adapters/memory/limits.ts';
import { createPrometheusTelemetry } from '../../src/adapters/prometheus/telemetry.ts';
import { createWebDocuments } from '../../src/adapters/web/web-documents.ts';
import { buildNode } from '../../src/compose/node.ts';
import { faultyStore } from '../support/faulty-event-log.ts';
import { openMemoryStores, SERVER_SECRET, system } from '../support/stores.ts';

const [folder = '', accessToken = '', currentPassword = '', wanted = ''] = process.argv.slice(2);
const { clock, random, logger } = system;

let steps = Number.NEGATIVE_INFINITY;
const step = (): void => {
  if (++steps === Number(wanted)) process.kill(process.pid, 'SIGKILL');
};

const stores = await openMemoryStores({ folder });
const events = faultyStore(stores.store);
events.beforeAppend.hook = async () => step();
const { keys } = stores;
const destroy = keys.destroy.bind(keys);
keys.destroy = async (name) => {
  step();
  await destroy(name);
};
const node = await buildNode(
  {
    ...{ clock, random, logger, events, keys, documents: stores.documents },
    telemetry: createPrometheusTelemetry({ processMetrics: false }),
    secret: SERVER_SECRET,
    sharedLimits: createMemoryLimits({ clock }),
    mailer: { send: async () => {}, close: async () => {} },
    webDocuments: createWebDocuments({ clock }),
  },
  {
    roles: new Set(['api', 'projections']),
    name: 'test',
    singleWriter: true,
    limits: 'off',
    issuers: { discovered: [], pinned: null, audience: null, clients: [] },
    http: {
      ...{ publicUrl: 'http://parley.test', version: '0.0.0', trustProxy: [], allowedOrigins: [] },
      ...{
        connectionsPerNetwork: 100,
        socketsPerUser: 10,
        anonymousSockets: 10,
        rateLimits: 'off',
        metricsToken: null,
      },
    },
  },
  new AsyncDisposableStack(),
);
steps = 0;
const headers = { authorization: `Bearer ${accessToken}` };
const erased = await node.app.inject({
  method: 'DELETE',
  url: '/api/v1/users/me',
  headers,
  payload: { currentPassword },
});
if (erased.statusCode !== 202) throw new Error(`${erased.statusCode} ${erased.body}`);
// The reaction goes on in the background, until it has left the groups.
for (let turn = 0; steps < Number(wanted) && turn < 20; turn++) await pause(50);
process.exit(0);
