import { BlockList, isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import { type Dkim, readDkim, signsFor } from './dkim.ts';
import { type IssuerSettings, issuerWarnings, readIssuers } from './issuers.ts';
import { type LimitSettings, readLimits } from './limits.ts';
import {
  type ConfigError,
  ConfigReader,
  type Environment,
  InvalidValue,
  integer,
  listOf,
  oneOf,
  origin,
  urlOf,
} from './reader.ts';

export type { ConfigError } from './reader.ts';

const ROLES = ['api', 'projections', 'mail', 'sync', 'bridge'] as const;
const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;

/** A task that a node performs. */
export type Role = (typeof ROLES)[number];

/** Connection strings of EventStoreDB and MongoDB. One without the other would split the installation: nodes would share the log and not the keys. */
export type SharedStores = Readonly<{ eventStoreUrl: string; mongoUrl: string }>;

/** All settings, each with the variable that sets it. docs/configuration.md describes them for operators. */
export type Config = Readonly<{
  /** `HOST`; `null`: all addresses of the machine, those of IPv6 too if it has any. */
  host: string | null;
  /** `PORT` or `SERVER_PORT`, default 3000; 0: any free port. */
  port: number;
  /** `PUBLIC_URL`: the origin at which users reach the server. `null`: `http://localhost:<port>`, see `publicUrlOf`. */
  publicUrl: string | null;
  /** `DATA_DIR`, default `./data`. */
  dataDir: string;
  /** `PARLEY_SECRET`, at least 32 characters. `null`: generated and stored in the data directory; only with embedded stores. */
  secret: string | null;
  /** `EVENTSTORE_URL` with `MONGODB_URL` or `MONGODB_URI`: stores that several nodes share; `null`: the embedded stores. */
  shared: SharedStores | null;
  /** `SMTP_URL`; `null`: mails are written to `<dataDir>/outbox`. */
  smtpUrl: string | null;
  /** `MAIL_FROM`: an address, or a name and an address; `null`: `no-reply@<public host>`, see `mailFromOf`. */
  mailFrom: string | null;
  /** `DKIM_DOMAIN`, `DKIM_SELECTOR`, `DKIM_PRIVATE_KEY`, all or none of them: signs mails that are sent by SMTP. */
  dkim: Dkim | null;
  /** `TRUST_PROXY`: proxies whose `X-Forwarded-…` headers are trusted: addresses, subnets, `loopback`, `linklocal`, `uniquelocal`. Default none. */
  trustProxy: readonly string[];
  /** `ALLOWED_ORIGINS`: origins, besides the public one, whose pages may send requests (CORS) and open a WebSocket. */
  allowedOrigins: readonly string[];
  /** `METRICS_TOKEN`, 16 to 256 characters: the bearer token that `/metrics` requires; `null`: it answers internal networks only. */
  metricsToken: string | null;
  /** `LOG_LEVEL`, default `info`. */
  logLevel: (typeof LOG_LEVELS)[number];
  /** `RATE_LIMITS` and `RATE_LIMIT_…`; `'off'`: no limits. */
  limits: LimitSettings | 'off';
  /** `OIDC_…` and `KEYCLOAK_…`: the outside issuers whose access tokens are accepted. */
  issuers: IssuerSettings;
  /** `PARLEY_ROLES`, default: all. */
  roles: ReadonlySet<Role>;
}>;

/** A configuration with warnings for the operator, or all errors. */
export type ConfigResult =
  | Readonly<{ config: Config; warnings: readonly string[] }>
  | Readonly<{ errors: readonly ConfigError[] }>;

/** Reads the configuration from environment variables. Empty variables count as not set. Reports all errors, not only the first. */
export function readConfig(env: Environment): ConfigResult {
  const reader = new ConfigReader(env);
  const config: Config = {
    host: reader.read('HOST', null, host),
    port: reader.read(reader.either('PORT', 'SERVER_PORT'), 3000, integer(0, 65_535)),
    publicUrl: reader.read('PUBLIC_URL', null, origin),
    dataDir: reader.read('DATA_DIR', './data', (value) => value),
    secret: reader.readSecret('PARLEY_SECRET', null, secret),
    shared: readSharedStores(reader),
    smtpUrl: reader.readSecret('SMTP_URL', null, urlOf('smtp:', 'smtps:')),
    mailFrom: reader.read('MAIL_FROM', null, mailbox),
    dkim: readDkim(reader),
    trustProxy: reader.read('TRUST_PROXY', [], listOf(network)),
    allowedOrigins: reader.read('ALLOWED_ORIGINS', [], listOf(origin)),
    metricsToken: reader.readSecret('METRICS_TOKEN', null, metricsToken),
    logLevel: reader.read('LOG_LEVEL', 'info', oneOf(...LOG_LEVELS)),
    limits: readLimits(reader, Object.keys(env)),
    issuers: readIssuers(reader),
    roles: new Set(reader.read('PARLEY_ROLES', ROLES, listOf(oneOf(...ROLES)))),
  };
  return reader.errors.length > 0 ? { errors: reader.errors } : { config, warnings: warningsFor(config) };
}

/** The origin at which users reach this node. `port`: the port that it listens on. */
export function publicUrlOf(config: Config, port = config.port): string {
  return config.publicUrl ?? `http://localhost:${port}`;
}

/** The address to listen on. Without a `HOST`, all addresses: a socket for those of IPv6 serves IPv4 too. */
export function hostOf(config: Pick<Config, 'host'>, interfaces = networkInterfaces()): string {
  const hasIPv6 = Object.values(interfaces).some((addresses) => addresses?.some(({ family }) => family === 'IPv6'));
  return config.host ?? (hasIPv6 ? '::' : '0.0.0.0');
}

/** The sender of mails. */
export function mailFromOf(config: Config): string {
  return config.mailFrom ?? `Parley <no-reply@${new URL(publicUrlOf(config)).hostname}>`;
}

/** Reads the URLs of the shared stores, which are set together or not at all, and requires the secret that their nodes share. */
function readSharedStores(reader: ConfigReader): SharedStores | null {
  const mongoName = reader.either('MONGODB_URL', 'MONGODB_URI');
  const eventStoreUrl = reader.readSecret('EVENTSTORE_URL', null, urlOf(...EVENT_STORE_SCHEMES));
  const mongoUrl = reader.readSecret(mongoName, null, urlOf('mongodb:', 'mongodb+srv:'));
  const isSet = (name: string): boolean => reader.raw(name) !== null;
  const names = ['EVENTSTORE_URL', mongoName];
  const [first, ...others] = names.filter(isSet);
  if (first === undefined) return null;
  const missing = names.find((name) => !isSet(name));
  if (missing !== undefined) reader.fail(missing, `must be set because ${first} is set: set both or neither`);
  if (!isSet('PARLEY_SECRET')) {
    const reason = others.length === 0 ? `${first} is set` : `${names.join(' and ')} are set`;
    reader.fail('PARLEY_SECRET', `must be set to the same value on every node because ${reason}`);
  }
  // An invalid or missing one was reported.
  return eventStoreUrl === null || mongoUrl === null ? null : { eventStoreUrl, mongoUrl };
}

function warningsFor(config: Config): string[] {
  const { limits, roles, shared, dkim, smtpUrl, issuers } = config;
  const warnings: string[] = [...issuerWarnings(issuers)];
  if (dkim !== null && smtpUrl === null) warnings.push('DKIM_DOMAIN is set and SMTP_URL is not: mails are not signed');
  if (dkim !== null && !signsFor(dkim, mailFromOf(config)))
    warnings.push('DKIM_DOMAIN is not the domain of MAIL_FROM: receivers may treat the mails as unsigned (DMARC)');
  if (limits === 'off') warnings.push('RATE_LIMITS is off: requests, sign-in attempts and mails are not limited');
  const missing = ROLES.filter((role) => !roles.has(role));
  if (missing.length > 0 && shared === null) {
    warnings.push(
      `PARLEY_ROLES does not include ${missing.join(', ')}; no other node can perform them with the embedded stores`,
    );
  }
  return warnings;
}

function host(value: string): string {
  if (isIP(value) === 0 && !/^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$/.test(value))
    throw new InvalidValue('an IP address or host name');
  return value;
}

function secret(value: string): string {
  if (value.length < 32) throw new InvalidValue('at least 32 random characters');
  return value;
}

/** A b64token of RFC 6750, section 2.1: only these can be sent as a bearer token. */
function metricsToken(value: string): string {
  if (!/^(?=.{16,256}$)[A-Za-z0-9._~+/-]+=*$/.test(value))
    throw new InvalidValue('16 to 256 characters of A-Z a-z 0-9 - . _ ~ + /, with = only at the end (RFC 6750)');
  return value;
}

/** EventStoreDB was renamed to KurrentDB; its client accepts both names. */
const EVENT_STORE_SCHEMES = ['esdb:', 'esdb+discover:', 'kurrentdb:', 'kurrentdb+discover:'];

/** `address@host` or `Name <address@host>`. */
function mailbox(value: string): string {
  if (!/^(?:[^\s<>@,]+@[^\s<>@,]+|[^<>@,\r\n]+ <[^\s<>@,]+@[^\s<>@,]+>)$/.test(value)) {
    throw new InvalidValue("an address such as 'no-reply@example.org' or 'Parley <no-reply@example.org>'");
  }
  return value;
}

/** An IP address, a subnet, or the name of a well-known range. */
function network(value: string): string {
  if (['loopback', 'linklocal', 'uniquelocal'].includes(value) || isIP(value) !== 0) return value;
  const [address = '', bits = ''] = value.split('/');
  try {
    if (!/^\d{1,3}$/.test(bits)) throw new RangeError('no prefix length');
    new BlockList().addSubnet(address, Number(bits), isIP(address) === 6 ? 'ipv6' : 'ipv4');
    return value;
  } catch {
    // `addSubnet` throws for an invalid address and for an invalid prefix length.
    throw new InvalidValue('a comma-separated list of addresses, subnets, loopback, linklocal or uniquelocal');
  }
}
