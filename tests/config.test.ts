import type { NetworkInterfaceInfo } from 'node:os';
import { describe, expect, it } from 'vitest';
import { type Config, hostOf, mailFromOf, publicUrlOf, readConfig } from '../src/config/config.ts';

const SECRET = 'a-secret-of-thirty-two-characters';

/** The configuration of a valid environment. */
function configOf(env: Record<string, string>): Config {
  const result = readConfig(env);
  if ('errors' in result) throw new Error(JSON.stringify(result.errors));
  return result.config;
}

function warnings(env: Record<string, string>): readonly string[] {
  const result = readConfig(env);
  return 'errors' in result ? ['invalid configuration'] : result.warnings;
}

function errors(env: Record<string, string>): string[] {
  const result = readConfig(env);
  return 'errors' in result ? result.errors.map(({ name, message }) => `${name} ${message}`) : [];
}

describe('an empty environment', () => {
  it('means embedded stores on port 3000, without warnings', () => {
    expect(configOf({})).toEqual({
      host: null,
      port: 3000,
      publicUrl: null,
      dataDir: './data',
      secret: null,
      shared: null,
      smtpUrl: null,
      mailFrom: null,
      dkim: null,
      trustProxy: [],
      allowedOrigins: [],
      metricsToken: null,
      logLevel: 'info',
      limits: {
        rates: {},
        signInFailures: 5,
        mails: { perHour: 2, perDay: 5 },
        connectionsPerNetwork: 256,
        socketsPerUser: 20,
        anonymousSockets: 100,
      },
      issuers: { discovered: [], pinned: null, audience: null, clients: [] },
      roles: new Set(['api', 'projections', 'mail', 'sync', 'bridge']),
    });
    expect(warnings({})).toEqual([]);
  });

  it('equals an environment with empty and blank variables', () => {
    expect(configOf({ PORT: '', PUBLIC_URL: ' ', SMTP_URL: '', PARLEY_ROLES: '' })).toEqual(configOf({}));
  });
});

describe('the address to listen on', () => {
  const address = (family: 'IPv4' | 'IPv6') => ({ family }) as NetworkInterfaceInfo;

  it('is that of IPv6 where the machine has one, else that of IPv4', () => {
    const { host } = configOf({});
    expect(hostOf({ host }, { lo: [address('IPv4'), address('IPv6')] })).toBe('::');
    expect(hostOf({ host }, { lo: [address('IPv4')], eth0: [address('IPv4')] })).toBe('0.0.0.0');
    expect(hostOf({ host }, {})).toBe('0.0.0.0');
  });

  it('is HOST when that is set', () => {
    expect(hostOf(configOf({ HOST: '127.0.0.1' }), { lo: [address('IPv6')] })).toBe('127.0.0.1');
  });
});

describe('valid values', () => {
  it('are read from their variables', () => {
    const config = configOf({
      PORT: '8080',
      HOST: '127.0.0.1',
      PUBLIC_URL: 'https://chat.example.org/',
      DATA_DIR: '/var/lib/parley',
      PARLEY_SECRET: SECRET,
      EVENTSTORE_URL: 'esdb+discover://user:pass@events:2113?tls=true',
      MONGODB_URL: 'mongodb://a,b,c/parley?replicaSet=rs0',
      SMTP_URL: 'smtps://user:pass@mail.example.org',
      MAIL_FROM: 'Chat <chat@example.org>',
      TRUST_PROXY: 'loopback, 10.0.0.0/8, fd00::/8, 192.0.2.7',
      ALLOWED_ORIGINS: 'https://app.example.org, http://localhost:5173',
      METRICS_TOKEN: 'a-token-for-prometheus',
      OIDC_ISSUERS: 'https://id.example.org/realms/main',
      OIDC_AUDIENCE: 'chat',
      OIDC_CLIENTS: 'web, app',
      LOG_LEVEL: 'debug',
      PARLEY_ROLES: 'api, mail',
    });
    expect(config).toEqual({
      host: '127.0.0.1',
      port: 8080,
      publicUrl: 'https://chat.example.org',
      dataDir: '/var/lib/parley',
      secret: SECRET,
      shared: {
        eventStoreUrl: 'esdb+discover://user:pass@events:2113?tls=true',
        mongoUrl: 'mongodb://a,b,c/parley?replicaSet=rs0',
      },
      smtpUrl: 'smtps://user:pass@mail.example.org',
      mailFrom: 'Chat <chat@example.org>',
      dkim: null,
      trustProxy: ['loopback', '10.0.0.0/8', 'fd00::/8', '192.0.2.7'],
      allowedOrigins: ['https://app.example.org', 'http://localhost:5173'],
      metricsToken: 'a-token-for-prometheus',
      logLevel: 'debug',
      limits: {
        rates: {},
        signInFailures: 5,
        mails: { perHour: 2, perDay: 5 },
        connectionsPerNetwork: 256,
        socketsPerUser: 20,
        anonymousSockets: 100,
      },
      issuers: {
        discovered: [{ issuer: 'https://id.example.org/realms/main', alg: 'RS256' }],
        pinned: null,
        audience: 'chat',
        clients: ['web', 'app'],
      },
      roles: new Set(['api', 'mail']),
    });
  });

  it('are accepted under aliases, which must not contradict the main name', () => {
    expect(configOf({ SERVER_PORT: '4000' }).port).toBe(4000);
    expect(configOf({ PORT: '4000', SERVER_PORT: '4000' }).port).toBe(4000);
    const shared = { EVENTSTORE_URL: 'esdb://events', PARLEY_SECRET: SECRET };
    expect(configOf({ MONGODB_URI: 'mongodb://db', ...shared }).shared?.mongoUrl).toBe('mongodb://db');
    expect(errors({ PORT: '4000', SERVER_PORT: '5000' })).toEqual([
      'SERVER_PORT is an alias of PORT, which is set to a different value; set only one of them',
    ]);
  });

  it.each([
    ['5/s burst 50', { perMinute: 300, burst: 50 }],
    ['5 / s burst 50', { perMinute: 300, burst: 50 }],
    ['200/min', { perMinute: 200, burst: 200 }],
    ['30/h burst 3', { perMinute: 0.5, burst: 3 }],
    ['1440/day', { perMinute: 1, burst: 1440 }],
  ])('a rate %j has a number per minute and a burst', (text, rate) => {
    expect(configOf({ RATE_LIMIT_MESSAGE: text }).limits).toMatchObject({ rates: { message: rate } });
  });

  it.each([
    ['all characters of a b64token', 'AZaz09-._~+/b64token=='],
    ['16 characters', 'a'.repeat(16)],
    ['256 characters', 'a'.repeat(256)],
  ])('METRICS_TOKEN accepts %s', (_name, token) => {
    expect(configOf({ METRICS_TOKEN: token }).metricsToken).toBe(token);
  });

  it('each limit has its variable', () => {
    const { limits } = configOf({
      RATE_LIMIT_ADDRESS: '1/min',
      RATE_LIMIT_BAD_TOKEN: '2/min',
      RATE_LIMIT_USER: '3/min',
      RATE_LIMIT_MESSAGE: '4/min',
      RATE_LIMIT_REGISTRATION: '5/min',
      RATE_LIMIT_DIRECTORY: '7/min burst 8',
      RATE_LIMIT_EXPORT: '3/h burst 2',
      RATE_LIMIT_FRAME: '6/min',
      RATE_LIMIT_SIGN_IN: '7',
      RATE_LIMIT_MAILS_HOUR: '8',
      RATE_LIMIT_MAILS_DAY: '9',
      RATE_LIMIT_CONNECTIONS: '11',
      RATE_LIMIT_SOCKETS: '10',
      RATE_LIMIT_UPGRADE: '12/min',
      RATE_LIMIT_ANONYMOUS_SOCKETS: '11',
    });
    expect(limits).toEqual({
      rates: {
        address: { perMinute: 1, burst: 1 },
        badToken: { perMinute: 2, burst: 2 },
        user: { perMinute: 3, burst: 3 },
        message: { perMinute: 4, burst: 4 },
        registration: { perMinute: 5, burst: 5 },
        directory: { perMinute: 7, burst: 8 },
        export: { perMinute: 3 / 60, burst: 2 },
        frame: { perMinute: 6, burst: 6 },
        upgrade: { perMinute: 12, burst: 12 },
      },
      signInFailures: 7,
      mails: { perHour: 8, perDay: 9 },
      connectionsPerNetwork: 11,
      socketsPerUser: 10,
      anonymousSockets: 11,
    });
  });
});

describe('invalid values', () => {
  const origin = "must be an origin such as 'https://chat.example.org', without a path";
  const rate = "must be a rate such as '300/min' or '5/s burst 50' (per s, min, h or day)";
  const mailbox = "must be an address such as 'no-reply@example.org' or 'Parley <no-reply@example.org>'";
  const metricsToken = 'must be 16 to 256 characters of A-Z a-z 0-9 - . _ ~ + /, with = only at the end (RFC 6750)';
  const proxies = 'must be a comma-separated list of addresses, subnets, loopback, linklocal or uniquelocal';

  it.each([
    ['PORT', 'http', 'must be an integer from 0 to 65535'],
    ['PORT', '65536', 'must be an integer from 0 to 65535'],
    ['PORT', '-1', 'must be an integer from 0 to 65535'],
    ['PORT', '3e3', 'must be an integer from 0 to 65535'],
    ['HOST', 'a b', 'must be an IP address or host name'],
    ['PUBLIC_URL', 'chat.example.org', origin],
    ['PUBLIC_URL', 'https://chat.example.org/parley', origin],
    ['PUBLIC_URL', 'ftp://chat.example.org', origin],
    ['ALLOWED_ORIGINS', '*', origin],
    ['ALLOWED_ORIGINS', 'https://a.example,', origin],
    ['MAIL_FROM', 'parley', mailbox],
    ['MAIL_FROM', 'a@example.org, b@example.org', mailbox],
    ['TRUST_PROXY', 'true', proxies],
    ['TRUST_PROXY', '10.0.0.0/33', proxies],
    ['TRUST_PROXY', '10.0.0.0/', proxies],
    ['TRUST_PROXY', 'proxy.example.org', proxies],
    ['LOG_LEVEL', 'loud', 'must be one of fatal, error, warn, info, debug, trace, silent'],
    ['RATE_LIMITS', 'no', 'must be one of on, off'],
    ['RATE_LIMIT_USER', 'many', rate],
    ['RATE_LIMIT_USER', '0/s', rate],
    ['RATE_LIMIT_USER', '5/s burst 0', rate],
    ['RATE_LIMIT_DIRECTORY', '4/min', 'must be a rate with a burst of at least 5, which the largest page takes'],
    ['RATE_LIMIT_SIGN_IN', '0', 'must be an integer from 1 to 1000000'],
    ['PARLEY_ROLES', 'api,cook', 'must be one of api, projections, mail, sync, bridge'],
  ])('%s=%j is reported in one line', (name, value, message) => {
    expect(errors({ [name]: value })).toEqual([`${name} ${message} (it is '${value}')`]);
  });

  it.each([
    ['PARLEY_SECRET', 'hunter2hunter2', 'must be at least 32 random characters'],
    ['SMTP_URL', 'https://user:hunter2@mail', 'must be a URL that begins with smtp:// or smtps://'],
    ['METRICS_TOKEN', 'a'.repeat(15), metricsToken],
    ['METRICS_TOKEN', 'a'.repeat(257), metricsToken],
    ['METRICS_TOKEN', 'a token for prometheus', metricsToken],
    ['METRICS_TOKEN', 'a=token=for=prometheus', metricsToken],
    ['METRICS_TOKEN', 'a,token,for,prometheus', metricsToken],
    ['METRICS_TOKEN', 'a-tökén-for-prometheus', metricsToken],
    ['METRICS_TOKEN', '=================', metricsToken],
  ])('%s=%j is reported without the value', (name, value, message) => {
    expect(errors({ [name]: value })).toEqual([`${name} ${message}`]);
  });

  it('are reported without passwords in URLs', () => {
    expect(errors({ PUBLIC_URL: 'https://user:hunter2@chat.example.org' })).toEqual([
      `PUBLIC_URL ${origin} (it is 'https://…@chat.example.org')`,
    ]);
  });

  it('of store URLs are reported without the value', () => {
    expect(errors({ PARLEY_SECRET: SECRET, EVENTSTORE_URL: 'http://u:hunter2@e', MONGODB_URL: 'u:hunter2@m' })).toEqual(
      [
        'EVENTSTORE_URL must be a URL that begins with esdb:// or esdb+discover:// or kurrentdb:// or kurrentdb+discover://',
        'MONGODB_URL must be a URL that begins with mongodb:// or mongodb+srv://',
      ],
    );
  });

  it('are reported together', () => {
    expect(errors({ PORT: 'x', LOG_LEVEL: 'y', RATE_LIMITS: 'z' }).map((line) => line.split(' ')[0])).toEqual([
      'PORT',
      'LOG_LEVEL',
      'RATE_LIMITS',
    ]);
  });

  it('include unknown limits, which would have no effect', () => {
    expect(errors({ RATE_LIMIT_MESSAGES: '5/s' })).toEqual([
      'RATE_LIMIT_MESSAGES is not a known variable; known are RATE_LIMIT_ADDRESS, RATE_LIMIT_BAD_TOKEN, RATE_LIMIT_USER, RATE_LIMIT_MESSAGE, ' +
        'RATE_LIMIT_REGISTRATION, RATE_LIMIT_DIRECTORY, RATE_LIMIT_EXPORT, RATE_LIMIT_FRAME, RATE_LIMIT_UPGRADE, RATE_LIMIT_SIGN_IN, RATE_LIMIT_MAILS_HOUR, RATE_LIMIT_MAILS_DAY, ' +
        'RATE_LIMIT_CONNECTIONS, RATE_LIMIT_SOCKETS, RATE_LIMIT_ANONYMOUS_SOCKETS',
    ]);
  });

  it.each([
    ['MONGODB_URL', { EVENTSTORE_URL: 'esdb://events:2113' }],
    ['EVENTSTORE_URL', { MONGODB_URL: 'mongodb://db' }],
    ['EVENTSTORE_URL', { MONGODB_URI: 'mongodb://db' }],
  ])('include a missing %s with %j, because nodes share both stores or none', (missing, env) => {
    const [name = ''] = Object.keys(env);
    expect(errors({ ...env, PARLEY_SECRET: SECRET })).toEqual([
      `${missing} must be set because ${name} is set: set both or neither`,
    ]);
    expect(errors(env)).toEqual([
      `${missing} must be set because ${name} is set: set both or neither`,
      `PARLEY_SECRET must be set to the same value on every node because ${name} is set`,
    ]);
  });

  it('include a missing secret with shared stores once', () => {
    expect(errors({ EVENTSTORE_URL: 'esdb://events:2113', MONGODB_URL: 'mongodb://db' })).toEqual([
      'PARLEY_SECRET must be set to the same value on every node because EVENTSTORE_URL and MONGODB_URL are set',
    ]);
  });
});

describe('warnings', () => {
  it('are given when limits are off', () => {
    expect(configOf({ RATE_LIMITS: 'off' }).limits).toBe('off');
    expect(warnings({ RATE_LIMITS: 'off' })).toEqual([
      'RATE_LIMITS is off: requests, sign-in attempts and mails are not limited',
    ]);
  });

  it('are given for roles that no node can perform', () => {
    expect(warnings({ PARLEY_ROLES: 'api,projections,mail' })).toEqual([
      'PARLEY_ROLES does not include sync, bridge; no other node can perform them with the embedded stores',
    ]);
    const shared = { EVENTSTORE_URL: 'esdb://e', MONGODB_URL: 'mongodb://db', PARLEY_SECRET: SECRET };
    expect(warnings({ PARLEY_ROLES: 'api', ...shared })).toEqual([]);
  });
});

describe('derived values', () => {
  it('the public URL is localhost unless it is set', () => {
    expect(publicUrlOf(configOf({ PORT: '8080' }))).toBe('http://localhost:8080');
    expect(publicUrlOf(configOf({ PORT: '0' }), 49_152)).toBe('http://localhost:49152');
    expect(publicUrlOf(configOf({ PUBLIC_URL: 'https://chat.example.org' }), 49_152)).toBe('https://chat.example.org');
  });

  it('the sender of mails is at the public host unless it is set', () => {
    expect(mailFromOf(configOf({}))).toBe('Parley <no-reply@localhost>');
    expect(mailFromOf(configOf({ PUBLIC_URL: 'https://chat.example.org:8443' }))).toBe(
      'Parley <no-reply@chat.example.org>',
    );
    expect(mailFromOf(configOf({ MAIL_FROM: 'a@example.org' }))).toBe('a@example.org');
  });
});
