import { BlockList, isIP } from 'node:net';
import { type LimitSettings, readLimits } from './limits.ts';
import {
  type ConfigError,
  ConfigReader,
  type Environment,
  integer,
  listOf,
  oneOf,
  origin,
  Unfit,
  urlOf,
} from './reader.ts';

export type { ConfigError } from './reader.ts';

const ROLES = ['api', 'projections', 'mail', 'sync', 'bridge'] as const;
const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;

/** What a node does. */
export type Role = (typeof ROLES)[number];

/** Everything that can be set, by the variable named at each. */
export type Config = Readonly<{
  /** `HOST`, default `0.0.0.0`. */
  host: string;
  /** `PORT` or `SERVER_PORT`, default 3000; 0: any that is free. */
  port: number;
  /** `PUBLIC_URL`: where users reach it, an origin. `null`: `http://localhost:<port>`, see `publicUrlOf`. */
  publicUrl: string | null;
  /** `DATA_DIR`, default `./data`. */
  dataDir: string;
  /** `PARLEY_SECRET`, at least 32 characters. `null`: made and kept in the data directory; only when everything is embedded. */
  secret: string | null;
  /** `EVENTSTORE_URL`; `null`: the embedded event store. */
  eventStoreUrl: string | null;
  /** `MONGODB_URL` or `MONGODB_URI`; `null`: the embedded documents. */
  mongoUrl: string | null;
  /** `SMTP_URL`; `null`: mails are written to `<dataDir>/outbox`. */
  smtpUrl: string | null;
  /** `MAIL_FROM`, an address, or a name and an address; `null`: `no-reply@` the public host, see `mailFromOf`. */
  mailFrom: string | null;
  /** `TRUST_PROXY`: the proxies whose `X-Forwarded-…` headers are believed: addresses, subnets, or `loopback`, `linklocal`, `uniquelocal`. Default: none. */
  trustProxy: readonly string[];
  /** `ALLOWED_ORIGINS`: origins beside the public one whose pages may connect. */
  allowedOrigins: readonly string[];
  /** `LOG_LEVEL`, default `info`. */
  logLevel: (typeof LOG_LEVELS)[number];
  /** `RATE_LIMITS` and `RATE_LIMIT_…`. */
  limits: LimitSettings | 'off';
  /** `PARLEY_ROLES`, default all. */
  roles: ReadonlySet<Role>;
}>;

/** A configuration with what an operator should know of it, or all that is wrong. */
export type ConfigResult =
  | Readonly<{ config: Config; warnings: readonly string[] }>
  | Readonly<{ errors: readonly ConfigError[] }>;

/** Reads the whole configuration from environment variables. An empty variable counts as not set. */
export function readConfig(env: Environment): ConfigResult {
  const reader = new ConfigReader(env);
  const config: Config = {
    host: reader.read('HOST', '0.0.0.0', host),
    port: reader.read(reader.either('PORT', 'SERVER_PORT'), 3000, integer(0, 65_535)),
    publicUrl: reader.read('PUBLIC_URL', null, origin),
    dataDir: reader.read('DATA_DIR', './data', (value) => value),
    secret: reader.readSecret('PARLEY_SECRET', null, secret),
    eventStoreUrl: reader.readSecret('EVENTSTORE_URL', null, eventStoreUrl),
    mongoUrl: reader.readSecret(reader.either('MONGODB_URL', 'MONGODB_URI'), null, urlOf('mongodb:', 'mongodb+srv:')),
    smtpUrl: reader.readSecret('SMTP_URL', null, urlOf('smtp:', 'smtps:')),
    mailFrom: reader.read('MAIL_FROM', null, mailbox),
    trustProxy: reader.read('TRUST_PROXY', [], listOf(network)),
    allowedOrigins: reader.read('ALLOWED_ORIGINS', [], listOf(origin)),
    logLevel: reader.read('LOG_LEVEL', 'info', oneOf(...LOG_LEVELS)),
    limits: readLimits(reader, Object.keys(env)),
    roles: new Set(reader.read('PARLEY_ROLES', ROLES, listOf(oneOf(...ROLES)))),
  };
  const shared = ['EVENTSTORE_URL', 'MONGODB_URL', 'MONGODB_URI'].filter((name) => reader.raw(name) !== null);
  if (shared.length > 0 && reader.raw('PARLEY_SECRET') === null) {
    reader.fail(
      'PARLEY_SECRET',
      `must be set, the same on every node, because ${shared.join(' and ')} is: every node shares it`,
    );
  }
  return reader.errors.length > 0 ? { errors: reader.errors } : { config, warnings: warningsFor(config) };
}

/** Where users reach this node; `port` is the one it listens on. */
export function publicUrlOf(config: Config, port = config.port): string {
  return config.publicUrl ?? `http://localhost:${port}`;
}

/** Who mails are from. */
export function mailFromOf(config: Config): string {
  return config.mailFrom ?? `Parley <no-reply@${new URL(publicUrlOf(config)).hostname}>`;
}

function warningsFor({ limits, roles, eventStoreUrl }: Config): string[] {
  const warnings: string[] = [];
  if (limits === 'off')
    warnings.push('RATE_LIMITS is off: nothing keeps users, strangers and password guessers in bounds');
  const missing = ROLES.filter((role) => !roles.has(role));
  if (missing.length > 0 && eventStoreUrl === null) {
    warnings.push(
      `PARLEY_ROLES leaves out ${missing.join(', ')}, and no other node can open the embedded event store to do it`,
    );
  }
  return warnings;
}

function host(value: string): string {
  if (isIP(value) === 0 && !/^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$/.test(value))
    throw new Unfit('an address or host name to listen on');
  return value;
}

function secret(value: string): string {
  if (value.length < 32) throw new Unfit('at least 32 characters that nobody can guess');
  return value;
}

/** Both names of the same server, see the connection strings of its client. */
const eventStoreUrl = urlOf('esdb:', 'esdb+discover:', 'kurrentdb:', 'kurrentdb+discover:');

/** `address@host` or `Name <address@host>`. */
function mailbox(value: string): string {
  if (!/^(?:[^\s<>@,]+@[^\s<>@,]+|[^<>@,\r\n]+ <[^\s<>@,]+@[^\s<>@,]+>)$/.test(value)) {
    throw new Unfit("an address such as 'no-reply@example.org' or 'Parley <no-reply@example.org>'");
  }
  return value;
}

/** An address, a subnet, or one of the names that stand for well-known ones. */
function network(value: string): string {
  if (['loopback', 'linklocal', 'uniquelocal'].includes(value) || isIP(value) !== 0) return value;
  const [address = '', bits = ''] = value.split('/');
  try {
    if (!/^\d{1,3}$/.test(bits)) throw new RangeError('no prefix length');
    new BlockList().addSubnet(address, Number(bits), isIP(address) === 6 ? 'ipv6' : 'ipv4');
    return value;
  } catch {
    // Whatever it objects to, it is no subnet.
    throw new Unfit('addresses and subnets between commas, or loopback, linklocal, uniquelocal');
  }
}
