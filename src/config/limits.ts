import { type ConfigReader, integer, oneOf, Unfit } from './reader.ts';

/** So many over time, and so many at once (a token bucket). */
export type RateSetting = Readonly<{ perMinute: number; burst: number }>;

/** Rates that may be set, by the name of their variable. What each is for, and its default, stands with the limit itself. */
const RATES = {
  RATE_LIMIT_ADDRESS: 'address',
  RATE_LIMIT_BAD_TOKEN: 'badToken',
  RATE_LIMIT_USER: 'user',
  RATE_LIMIT_MESSAGE: 'message',
  RATE_LIMIT_REGISTRATION: 'registration',
  RATE_LIMIT_FRAME: 'frame',
} as const;

export type RateName = (typeof RATES)[keyof typeof RATES];

/** Limits of use. `rates` holds only those that differ from their default. */
export type LimitSettings = Readonly<{
  rates: Readonly<Partial<Record<RateName, RateSetting>>>;
  /** `RATE_LIMIT_SIGN_IN`: failed sign-ins of one account from one network until they are slowed down. */
  signInFailures: number;
  /** `RATE_LIMIT_MAILS_HOUR`, `RATE_LIMIT_MAILS_DAY`: mails that strangers may have sent to one address. */
  mails: Readonly<{ perHour: number; perDay: number }>;
  /** `RATE_LIMIT_SOCKETS`: live connections of one user on one node. */
  socketsPerUser: number;
}>;

const OTHERS = ['RATE_LIMIT_SIGN_IN', 'RATE_LIMIT_MAILS_HOUR', 'RATE_LIMIT_MAILS_DAY', 'RATE_LIMIT_SOCKETS'];

/** Reads `RATE_LIMITS` and every `RATE_LIMIT_…`; a name of that form that there is not is an error, since it would limit nothing. */
export function readLimits(reader: ConfigReader, names: readonly string[]): LimitSettings | 'off' {
  const known: readonly string[] = [...Object.keys(RATES), ...OTHERS];
  for (const name of names) {
    if (name.startsWith('RATE_LIMIT_') && !known.includes(name)) {
      reader.fail(name, `is not known; there are ${known.join(', ')}`);
    }
  }
  const rates: Partial<Record<RateName, RateSetting>> = {};
  for (const [variable, name] of Object.entries(RATES)) {
    const setting = reader.read(variable, null, rate);
    if (setting !== null) rates[name] = setting;
  }
  const count = (name: string, fallback: number) => reader.read(name, fallback, integer(1, 1_000_000));
  const limits = {
    rates,
    signInFailures: count('RATE_LIMIT_SIGN_IN', 5),
    mails: { perHour: count('RATE_LIMIT_MAILS_HOUR', 2), perDay: count('RATE_LIMIT_MAILS_DAY', 5) },
    socketsPerUser: count('RATE_LIMIT_SOCKETS', 20),
  };
  return reader.read('RATE_LIMITS', 'on' as const, oneOf('on', 'off')) === 'off' ? 'off' : limits;
}

const PER_MINUTE: Readonly<Record<string, number>> = { s: 60, min: 1, h: 1 / 60, day: 1 / 1_440 };

/** `5/s burst 50`: so many per `s`, `min`, `h` or `day`. Without a burst, the number itself may come at once. */
function rate(value: string): RateSetting {
  const [, number = '', unit = '', burst] = /^(\d{1,7}) ?\/ ?(s|min|h|day)(?: burst (\d{1,7}))?$/.exec(value) ?? [];
  const perUnit = Number(number);
  const atOnce = burst === undefined ? perUnit : Number(burst);
  if (!(perUnit > 0 && atOnce > 0))
    throw new Unfit("a rate such as '300/min' or '5/s burst 50' (per s, min, h or day)");
  return { perMinute: perUnit * (PER_MINUTE[unit] ?? 1), burst: atOnce };
}
