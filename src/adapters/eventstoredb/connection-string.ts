import { type Credentials, EventStoreDBClient } from '@eventstore/db-client';
import { StoreError } from '../../kernel/errors.ts';
import { type ClientInternals, internalsOf } from './client-internals.ts';

/** Which member of a cluster to use. */
export type NodePreference = 'leader' | 'follower' | 'readonlyreplica' | 'random';

/** How the members of a cluster are asked for the node to use. */
export type DiscoverySettings = Readonly<{
  /** Addresses to ask first: members of the cluster, or one name that resolves to some of them. */
  seeds: readonly string[];
  preference: NodePreference;
  /** How often they are asked, and the pause in between, in ms. */
  attempts: number;
  intervalMs: number;
  /** How long one of them may take to respond, in ms. */
  timeoutMs: number;
}>;

export type ConnectionString = Readonly<{
  /** The only node, or how to find one. */
  target: string | DiscoverySettings;
  credentials: Credentials | undefined;
  /** A new client for one node, `host:port`, with the TLS, name and keep-alive options. It does not connect yet. */
  clientOf(address: string): ClientInternals;
  /** The same with the TLS options alone, for short calls. */
  gossipClientOf(address: string): ClientInternals;
}>;

const DEFAULT_PORT = 2113;
/** The longest time to wait for one member, in ms: the others have responded long before, and the members may change meanwhile. */
const LONGEST_TIMEOUT_MS = 2_000;
const PREFERENCES: readonly NodePreference[] = ['leader', 'follower', 'readonlyreplica', 'random'];
/** The options of a connection, as `flat` spells them. The others are for discovery, or have no effect. */
const TLS_OPTIONS = ['tls', 'tlscafile', 'usercertfile', 'userkeyfile'];
const LINK_OPTIONS = [...TLS_OPTIONS, 'connectionname', 'keepaliveinterval', 'keepalivetimeout'];

/**
 * Reads a connection string. One address with `esdb://` is a node; several addresses are members of a cluster, whichever the scheme; one address with
 * `esdb+discover://` is a DNS name of members. Throws `INVALID`, without the password in the message.
 */
export function parseConnectionString(url: string): ConnectionString {
  const { scheme, rest, credentials } = split(url);
  // The client checks all of it, and prints a warning for an unknown option.
  createClient(`${scheme}://${rest}`);
  const [hosts = '', ...query] = rest.split('?');
  const options = optionsOf(query.join('&'));
  const addresses = hosts.split(/[,/]/).filter(Boolean).map(withPort);
  const [first = ''] = addresses;
  const isCluster = scheme === 'esdb+discover' || addresses.length > 1;
  const urlOf = (address: string, names: readonly string[]): string => {
    const given = names.flatMap((name) => (options.has(name) ? [`${name}=${options.get(name)}`] : []));
    return `esdb://${address}${given.length === 0 ? '' : `?${given.join('&')}`}`;
  };
  return {
    target: isCluster ? discoverySettings(addresses, options) : first,
    credentials,
    clientOf: (address) => createClient(urlOf(address, LINK_OPTIONS)),
    gossipClientOf: (address) => createClient(urlOf(address, TLS_OPTIONS)),
  };
}

function discoverySettings(seeds: readonly string[], options: ReadonlyMap<string, string>): DiscoverySettings {
  const given = flat(options.get('nodepreference') ?? '');
  const timeout = options.get('gossiptimeout');
  return {
    seeds,
    preference: PREFERENCES.find((name) => name === given) ?? 'leader',
    attempts: Math.max(1, Number.parseInt(options.get('maxdiscoverattempts') ?? '10', 10)),
    intervalMs: Math.max(0, Number.parseInt(options.get('discoveryinterval') ?? '100', 10)),
    // The option is in seconds.
    timeoutMs: timeout === undefined ? LONGEST_TIMEOUT_MS : clamp(Number.parseInt(timeout, 10) * 1_000),
  };
}

const clamp = (ms: number): number => Math.min(Math.max(ms, 100), LONGEST_TIMEOUT_MS);
/** The client accepts names in any case, with or without hyphens and underscores. */
const flat = (name: string): string => name.trim().toLowerCase().replace(/[_-]/g, '');
const withPort = (host: string): string => (/:\d+$/.test(host) ? host.trim() : `${host.trim()}:${DEFAULT_PORT}`);

function optionsOf(query: string): ReadonlyMap<string, string> {
  const pairs = query.split('&').map((pair) => pair.split('=', 2));
  return new Map(pairs.map(([name = '', value = '']) => [flat(name), value.trim()]));
}

/** A client, with the connection string and the certificates that it names parsed. */
function createClient(url: string): ClientInternals {
  let client: EventStoreDBClient;
  try {
    client = EventStoreDBClient.connectionString(url);
  } catch (error) {
    const [reason] = error instanceof Error ? error.message.split('\n') : [String(error)];
    throw new StoreError('INVALID', `invalid connection string of the event store: ${reason}`, { cause: error });
  }
  return internalsOf(client);
}

/**
 * The parts of a connection string, with user and password apart, because the client prints all of its connection string in warnings and errors.
 * KurrentDB's names for the scheme mean the same.
 */
function split(url: string): { scheme: string; rest: string; credentials: Credentials | undefined } {
  const [, discover = '', user, password, rest] =
    /^(?:esdb|kurrent|kurrentdb|kdb)(\+discover)?:\/\/(?:([^:@/]+):([^@]+)@)?(.*)$/s.exec(
      url.trim().replace(/\/+$/, ''),
    ) ?? [];
  if (rest === undefined) {
    throw new StoreError(
      'INVALID',
      'the connection string of the event store must start with esdb:// or esdb+discover://',
    );
  }
  const scheme = `esdb${discover}`;
  if (user === undefined || password === undefined) return { scheme, rest, credentials: undefined };
  try {
    const credentials = { username: decodeURIComponent(user), password: decodeURIComponent(password) };
    return { scheme, rest, credentials };
  } catch {
    // Without the cause, whose message would contain them.
    throw new StoreError(
      'INVALID',
      'user and password in the connection string of the event store must be URL-encoded',
    );
  }
}
