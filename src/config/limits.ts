import { type ConfigReader, InvalidValue, integer, oneOf } from './reader.ts';

/** A token bucket: `perMinute` tokens are refilled per minute, up to `burst` can be used at once. */
export type RateSetting = Readonly<{ perMinute: number; burst: number }>;

/** The variable of each rate. Meanings and defaults are in `src/http/request/rate-limits.ts`. */
const RATES = {
  RATE_LIMIT_ADDRESS: 'address',
  RATE_LIMIT_BAD_TOKEN: 'badToken',
  RATE_LIMIT_USER: 'user',
  RATE_LIMIT_MESSAGE: 'message',
  RATE_LIMIT_REGISTRATION: 'registration',
  RATE_LIMIT_DIRECTORY: 'directory',
  RATE_LIMIT_EXPORT: 'export',
  RATE_LIMIT_FRAME: 'frame',
  RATE_LIMIT_UPGRADE: 'upgrade',
} as const;

export type RateName = (typeof RATES)[keyof typeof RATES];

/** Usage limits. `rates` contains only the rates that are set; the others have their defaults. */
export type LimitSettings = Readonly<{
  rates: Readonly<Partial<Record<RateName, RateSetting>>>;
  /** `RATE_LIMIT_SIGN_IN`: failed sign-ins to one account from one network before further attempts are delayed. */
  signInFailures: number;
  /** `RATE_LIMIT_MAILS_HOUR`, `RATE_LIMIT_MAILS_DAY`: mails to one address that requests without a session may cause. */
  mails: Readonly<{ perHour: number; perDay: number }>;
  /** `RATE_LIMIT_CONNECTIONS`: open connections of one network; for the clients of a trusted proxy, requests in progress. */
  connectionsPerNetwork: number;
  /** `RATE_LIMIT_SOCKETS`: live connections of one user on one node. */
  socketsPerUser: number;
  /** `RATE_LIMIT_ANONYMOUS_SOCKETS`: live connections of one network on one node that are not authenticated yet. */
  anonymousSockets: number;
}>;

const OTHERS = [
  'RATE_LIMIT_SIGN_IN',
  'RATE_LIMIT_MAILS_HOUR',
  'RATE_LIMIT_MAILS_DAY',
  'RATE_LIMIT_CONNECTIONS',
  'RATE_LIMIT_SOCKETS',
  'RATE_LIMIT_ANONYMOUS_SOCKETS',
];

/** Reads `RATE_LIMITS` and all `RATE_LIMIT_…` variables. Unknown `RATE_LIMIT_…` names are errors: a misspelled limit would have no effect. */
export function readLimits(reader: ConfigReader, names: readonly string[]): LimitSettings | 'off' {
  const known: readonly string[] = [...Object.keys(RATES), ...OTHERS];
  for (const name of names) {
    if (name.startsWith('RATE_LIMIT_') && !known.includes(name)) {
      reader.fail(name, `is not a known variable; known are ${known.join(', ')}`);
    }
  }
  const rates: Partial<Record<RateName, RateSetting>> = {};
  for (const [variable, name] of Object.entries(RATES)) {
    const setting = reader.read(variable, null, name === 'directory' ? directoryRate : rate);
    if (setting !== null) rates[name] = setting;
  }
  const count = (name: string, fallback: number) => reader.read(name, fallback, integer(1, 1_000_000));
  // Each mail of the last day is kept.
  const mails = (name: string, fallback: number) => reader.read(name, fallback, integer(1, 1_000));
  const limits = {
    rates,
    signInFailures: count('RATE_LIMIT_SIGN_IN', 5),
    mails: { perHour: mails('RATE_LIMIT_MAILS_HOUR', 2), perDay: mails('RATE_LIMIT_MAILS_DAY', 5) },
    connectionsPerNetwork: count('RATE_LIMIT_CONNECTIONS', 256),
    socketsPerUser: count('RATE_LIMIT_SOCKETS', 20),
    anonymousSockets: count('RATE_LIMIT_ANONYMOUS_SOCKETS', 100),
  };
  return reader.read('RATE_LIMITS', 'on' as const, oneOf('on', 'off')) === 'off' ? 'off' : limits;
}

const PER_MINUTE: Readonly<Record<string, number>> = { s: 60, min: 1, h: 1 / 60, day: 1 / 1_440 };

/** Parses a rate such as `5/s burst 50`, per `s`, `min`, `h` or `day`. Without `burst`, the burst is the number before the slash. */
function rate(value: string): RateSetting {
  const [, number = '', unit = '', burst] = /^(\d{1,7}) ?\/ ?(s|min|h|day)(?: burst (\d{1,7}))?$/.exec(value) ?? [];
  const perUnit = Number(number);
  const atOnce = burst === undefined ? perUnit : Number(burst);
  if (!(perUnit > 0 && atOnce > 0))
    throw new InvalidValue("a rate such as '300/min' or '5/s burst 50' (per s, min, h or day)");
  return { perMinute: perUnit * (PER_MINUTE[unit] ?? 1), burst: atOnce };
}

/** The largest page of the directory costs 5, and a cost above the burst would never be served. */
function directoryRate(value: string): RateSetting {
  const setting = rate(value);
  if (setting.burst < 5) throw new InvalidValue('a rate with a burst of at least 5, which the largest page takes');
  return setting;
}
