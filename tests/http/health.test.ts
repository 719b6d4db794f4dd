import { afterEach, describe, expect, it } from 'vitest';
import { createPrometheusTelemetry } from '../../src/adapters/prometheus/telemetry.ts';
import { createSystemClock } from '../../src/adapters/system/system-clock.ts';
import type { App, ReadinessCheck } from '../../src/http/deps.ts';
import { buildHealthApp } from '../../src/http/health-app.ts';
import type { Logger } from '../../src/kernel/logger.ts';
import type { Clock } from '../../src/ports/clock.ts';
import { PUBLIC_URL } from '../support/http.ts';
import { manualClock } from '../support/manual-clock.ts';

let app: App;
let warnings: { fields: object; message: string }[] = [];
afterEach(() => app.close());

async function start(
  checks: readonly ReadinessCheck[],
  options: { state?: 'starting' | 'no-api'; clock?: Clock } = {},
): Promise<void> {
  warnings = [];
  const warn = (fields: object, message: string) => void warnings.push({ fields, message });
  const logger: Logger = { debug() {}, info() {}, warn, error() {} };
  const { state = 'no-api', clock = createSystemClock() } = options;
  const config = { publicUrl: PUBLIC_URL, trustProxy: [], metricsToken: null, connectionsPerNetwork: 10 };
  const telemetry = createPrometheusTelemetry({ processMetrics: false });
  app = await buildHealthApp({ readinessChecks: checks, clock, logger, telemetry, config }, state);
}

const get = async (url: string) => {
  const { statusCode, headers, body } = await app.inject({ method: 'GET', url });
  return { status: statusCode, type: headers['content-type'], json: JSON.parse(body) };
};
const ready = (name: string): ReadinessCheck => ({ name, check: async () => null });

describe('/readyz', () => {
  it('is 200 with every check when all are ready', async () => {
    await start([ready('event-store'), ready('documents')]);
    expect(await get('/readyz')).toMatchObject({
      status: 200,
      json: {
        ready: true,
        parts: [
          { name: 'event-store', ready: true },
          { name: 'documents', ready: true },
        ],
      },
    });
  });

  it('is 503 with the reason of each check that fails, and logs errors', async () => {
    const error = new Error('connection refused');
    await start([
      ready('event-store'),
      { name: 'documents', check: () => Promise.reject(error) },
      { name: 'projection:users', check: async () => 'parked at 12' },
    ]);
    const { status, json } = await get('/readyz');
    expect(status).toBe(503);
    expect(json).toEqual({
      ready: false,
      parts: [
        { name: 'event-store', ready: true },
        { name: 'documents', ready: false, reason: 'does not answer' },
        { name: 'projection:users', ready: false, reason: 'parked at 12' },
      ],
    });
    expect(warnings).toEqual([{ fields: { err: error, check: 'documents' }, message: 'readiness check failed' }]);
  });

  it('does not wait longer than two seconds for a check', async () => {
    const clock = manualClock();
    const started = Promise.withResolvers<void>();
    const check = (): Promise<null> => {
      started.resolve();
      return new Promise(() => {});
    };
    await start([{ name: 'slow', check }], { clock });
    const answer = get('/readyz');
    await started.promise;
    await clock.advance(2_000);
    const { json } = await answer;
    expect(json).toEqual({
      ready: false,
      parts: [{ name: 'slow', ready: false, reason: 'does not answer in time' }],
    });
  });

  it('runs the checks once for concurrent probes', async () => {
    const gate = Promise.withResolvers<null>();
    const started = Promise.withResolvers<void>();
    let runs = 0;
    const check = (): Promise<null> => {
      runs++;
      started.resolve();
      return gate.promise;
    };
    await start([{ name: 'counted', check }]);
    const answers = [get('/readyz'), get('/readyz'), get('/readyz')];
    await started.promise;
    gate.resolve(null);
    expect((await Promise.all(answers)).map(({ status }) => status)).toEqual([200, 200, 200]);
    expect(runs).toBe(1);
    await get('/readyz');
    expect(runs).toBe(2);
  });
});

describe('a node without the API', () => {
  it('reports that it runs, and answers everything else with 404', async () => {
    await start([]);
    expect(await get('/healthz')).toMatchObject({ status: 200, json: { status: 'ok' } });
    expect(await get('/api/v1/users/me')).toMatchObject({
      status: 404,
      type: 'application/problem+json; charset=utf-8',
      json: { code: 'not-found', instance: '/api/v1/users/me' },
    });
  });
});

describe('a node that waits for its stores', () => {
  it('reports that it runs, and answers everything else with 503', async () => {
    await start([], { state: 'starting' });
    expect(await get('/healthz')).toMatchObject({ status: 200, json: { status: 'ok' } });
    const answer = await app.inject({ method: 'GET', url: '/api/v1/users/me' });
    expect([answer.statusCode, answer.headers['retry-after'], answer.json().code]).toEqual([503, '1', 'unavailable']);
  });
});
