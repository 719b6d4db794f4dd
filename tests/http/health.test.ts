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
  options: { state?: 'starting' | 'no-api'; clock?: Clock; metricsToken?: string; publicUrl?: string } = {},
): Promise<void> {
  warnings = [];
  const warn = (fields: object, message: string) => void warnings.push({ fields, message });
  const logger: Logger = { debug() {}, info() {}, warn, error() {} };
  const { state = 'no-api', clock = createSystemClock(), metricsToken = null, publicUrl = PUBLIC_URL } = options;
  const config = { publicUrl, trustProxy: [], metricsToken, connectionsPerNetwork: 10 };
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
    expect(warnings).toEqual([
      { fields: { err: error, check: 'documents' }, message: 'readiness check failed' },
      { fields: { check: 'projection:users', reason: 'parked at 12' }, message: 'not ready' },
    ]);
    await get('/readyz');
    // A reason is logged once, an error each time.
    expect(warnings.map(({ message }) => message)).toEqual([
      'readiness check failed',
      'not ready',
      'readiness check failed',
    ]);
  });

  it('shows reasons only to those who may read the metrics', async () => {
    const failing = [
      ready('documents'),
      { name: 'event-store', check: async () => 'connect ECONNREFUSED 10.0.0.7:2113' },
    ];
    const hidden = {
      ready: false,
      parts: [
        { name: 'documents', ready: true },
        { name: 'event-store', ready: false },
      ],
    };
    await start(failing);
    const from = async (remoteAddress: string, headers: Record<string, string> = {}) =>
      (await app.inject({ method: 'GET', url: '/readyz', remoteAddress, headers })).json();
    expect(await from('203.0.113.9')).toEqual(hidden);
    expect(await from('10.0.0.2', { 'x-forwarded-for': '10.0.0.1' })).toEqual(hidden);
    expect((await from('10.0.0.2')).parts[1].reason).toContain('ECONNREFUSED');
    await app.close();
    await start(failing, { metricsToken: 'a-token-for-prometheus' });
    expect(await from('10.0.0.2')).toEqual(hidden);
    const headers = { authorization: 'Bearer a-token-for-prometheus' };
    expect((await from('203.0.113.9', headers)).parts[1].reason).toContain('ECONNREFUSED');
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

describe.each(['starting', 'no-api'] as const)('a node that is %s', (state) => {
  it('answers every request as one with the API does', async () => {
    await start([], { state, publicUrl: 'https://chat.example.org' });
    const requests = [
      { url: '/healthz' },
      { url: '/readyz' },
      { url: '/no/such/path' },
      { url: '/%zz' },
      { url: '/healthz', headers: { host: ['a', 'b'] as unknown as string } },
    ] as const;
    for (const request of requests) {
      const { headers } = await app.inject({ method: 'GET', ...request });
      expect(headers['strict-transport-security']).toBe('max-age=31536000; includeSubDomains');
      expect(headers['x-content-type-options']).toBe('nosniff');
    }
    expect((await app.inject({ method: 'GET', ...requests[4] })).statusCode).toBe(400);
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
