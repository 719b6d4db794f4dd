import { afterEach, describe, expect, it } from 'vitest';
import { createPrometheusTelemetry } from '../../src/adapters/prometheus/telemetry.ts';
import { createSystemClock } from '../../src/adapters/system/system-clock.ts';
import type { App, HttpConfig } from '../../src/http/deps.ts';
import { buildHealthApp } from '../../src/http/health-app.ts';
import { silentLogger } from '../../src/kernel/logger.ts';
import { PUBLIC_URL, type Server, startServer } from '../support/http.ts';

const TEXT = '# HELP parley_test_total A counter.\nparley_test_total 1\n';
const contentType = 'text/plain; version=0.0.4; charset=utf-8';
const telemetry = {
  ...createPrometheusTelemetry({ processMetrics: false }),
  collect: async () => ({ contentType, text: TEXT }),
};
const TOKEN = 'a-token-for-prometheus';

let app: App | null = null;
let server: Server | null = null;
afterEach(async () => {
  await app?.close();
  await server?.close();
  [app, server] = [null, null];
});

type Metrics = Pick<HttpConfig, 'trustProxy' | 'metricsToken'>;
type Scrape = Readonly<{ from?: string; headers?: Record<string, string> }>;

/** A scrape of a node without the API. */
async function scrape(config: Partial<Metrics>, { from = '127.0.0.1', headers = {} }: Scrape) {
  app ??= await buildHealthApp(
    {
      readinessChecks: [],
      clock: createSystemClock(),
      logger: silentLogger,
      telemetry,
      config: { publicUrl: PUBLIC_URL, trustProxy: [], metricsToken: null, connectionsPerNetwork: 10, ...config },
    },
    'no-api',
  );
  return app.inject({ method: 'GET', url: '/metrics', remoteAddress: from, headers });
}

async function statusOf(config: Partial<Metrics>, request: Scrape): Promise<number> {
  const answer = await scrape(config, request);
  if (answer.statusCode === 200) expect([answer.body, answer.headers['content-type']]).toEqual([TEXT, contentType]);
  else expect(answer.json()).toMatchObject({ status: 404, code: 'not-found', instance: '/metrics' });
  return answer.statusCode;
}

const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

describe('/metrics without a token', () => {
  it.each([
    '127.0.0.1',
    '127.255.0.9',
    '10.1.2.3',
    '172.16.0.1',
    '172.31.255.255',
    '192.168.7.7',
    '169.254.1.1',
    '::1',
    'fc00::1',
    'fdff:1::1',
    'fe80::1',
    'fe80::1%eth0',
    '::ffff:127.0.0.1',
    '::ffff:10.1.2.3',
    '::ffff:c0a8:0101',
  ])('answers %s', async (from) => {
    expect(await statusOf({}, { from })).toBe(200);
  });

  it.each([
    '11.0.0.1',
    '172.15.255.255',
    '172.32.0.0',
    '192.167.0.1',
    '169.253.0.1',
    '203.0.113.9',
    '::2',
    '2001:db8::1',
    'fe00::1',
    'fec0::1',
    '::ffff:203.0.113.9',
    '::ffff:cb00:7109',
  ])('is 404 for %s', async (from) => {
    expect(await statusOf({}, { from })).toBe(404);
  });

  it('judges the client by the address that a trusted proxy forwards', async () => {
    const config = { trustProxy: ['10.0.0.0/8'] };
    const forwarded = (address: string) => ({ from: '10.0.0.2', headers: { 'x-forwarded-for': address } });
    expect(await statusOf(config, forwarded('203.0.113.9'))).toBe(404);
    expect(await statusOf(config, forwarded('192.168.1.1'))).toBe(200);
    expect(await statusOf(config, forwarded('192.168.1.1, 203.0.113.9'))).toBe(404);
  });

  it.each(['x-forwarded-for', 'forwarded'])('is 404 when an untrusted proxy sets %s', async (name) => {
    expect(await statusOf({}, { from: '10.0.0.2', headers: { [name]: '127.0.0.1' } })).toBe(404);
  });
});

describe('/metrics with a token', () => {
  const config = { metricsToken: TOKEN };

  it('answers every address that sends it', async () => {
    expect(await statusOf(config, { headers: bearer(TOKEN) })).toBe(200);
    expect(await statusOf(config, { from: '203.0.113.9', headers: bearer(TOKEN) })).toBe(200);
  });

  it.each([
    ['no header', {}],
    ['another token', bearer('another')],
    ['a part of the token', bearer(TOKEN.slice(0, -1))],
    ['another scheme', { authorization: `Basic ${TOKEN}` }],
  ])('is 404 with %s, also for internal addresses', async (_name, headers) => {
    expect(await statusOf(config, { headers })).toBe(404);
    expect(await statusOf(config, { from: '203.0.113.9', headers })).toBe(404);
  });
});

describe('/metrics of a node with the API', () => {
  it('is text that no cache keeps, and is not limited', async () => {
    server = await startServer({ config: { rateLimits: { address: { burst: 1, perMinute: 1 } } } });
    for (let i = 0; i < 5; i++) {
      const answer = await server.ask(null, { method: 'GET', url: '/metrics' });
      expect(answer.status).toBe(200);
      expect(answer.headers['content-type']).toBe(contentType);
      expect(answer.headers['cache-control']).toBe('no-store');
      expect(answer.text).toMatch(/^# HELP parley_/m);
    }
    const outside = await server.ask(null, { method: 'GET', url: '/metrics', remoteAddress: '203.0.113.9' });
    expect(outside.json).toMatchObject({ status: 404, code: 'not-found' });
    const missing = await server.ask(null, { method: 'GET', url: '/no/such/path', remoteAddress: '198.51.100.1' });
    expect(outside.json).toEqual({ ...missing.json, instance: '/metrics' });
  });
});
