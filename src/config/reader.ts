/** Environment variables, as `process.env` has them. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** What is wrong with one variable, as one line for the operator. It never repeats the value of a secret. */
export type ConfigError = Readonly<{ name: string; message: string }>;

/** Thrown by a parser: what a value must be, in words that follow "must be". */
export class Unfit extends Error {
  override readonly name = 'Unfit';
}

/** Reads variables and gathers everything that is wrong with them, so that all of it can be said at once. */
export class ConfigReader {
  readonly errors: ConfigError[] = [];
  private readonly env: Environment;

  constructor(env: Environment) {
    this.env = env;
  }

  /** The value as it stands, without spaces around it; `null` when it is not set or empty. */
  raw(name: string): string | null {
    const value = this.env[name]?.trim();
    return value === undefined || value === '' ? null : value;
  }

  /** The parsed value, or `fallback` when it is not set. When it is wrong, that is noted, and the fallback stands in. */
  read<T, F>(name: string, fallback: F, parse: (value: string) => T): T | F {
    const value = this.raw(name);
    return value === null
      ? fallback
      : this.parsed(name, value, fallback, parse, ` (it is '${withoutCredentials(value)}')`);
  }

  /** As `read`, for what must not be shown. */
  readSecret<T, F>(name: string, fallback: F, parse: (value: string) => T): T | F {
    const value = this.raw(name);
    return value === null ? fallback : this.parsed(name, value, fallback, parse, '');
  }

  /** The name of two for one thing that is set; both may be only when they agree. */
  either(name: string, alias: string): string {
    const [value, other] = [this.raw(name), this.raw(alias)];
    if (value !== null && other !== null && value !== other) {
      this.fail(alias, `is another name for ${name}, which is set to something else; set one of them`);
    }
    return value === null && other !== null ? alias : name;
  }

  fail(name: string, message: string): void {
    this.errors.push({ name, message });
  }

  // Five parameters, of which the last is only how the value is shown.
  private parsed<T, F>(name: string, value: string, fallback: F, parse: (value: string) => T, shown: string): T | F {
    try {
      return parse(value);
    } catch (error) {
      if (!(error instanceof Unfit)) throw error;
      this.fail(name, `must be ${error.message}${shown}`);
      return fallback;
    }
  }
}

/** A wrong value may be an address with a password in it. */
function withoutCredentials(value: string): string {
  return value.replace(/\/\/[^/\s]*@/g, '//…@');
}

/** A whole number within bounds. */
export function integer(min: number, max: number): (value: string) => number {
  return (value) => {
    const number = Number(value);
    if (!/^\d+$/.test(value) || number < min || number > max) throw new Unfit(`a whole number from ${min} to ${max}`);
    return number;
  };
}

/** One of a few words. */
export function oneOf<Word extends string>(...words: readonly Word[]): (value: string) => Word {
  return (value) => {
    const found = words.find((word) => word === value);
    if (found === undefined) throw new Unfit(`one of ${words.join(', ')}`);
    return found;
  };
}

/** Values between commas, at least one, none twice. */
export function listOf<T>(parse: (value: string) => T): (value: string) => readonly T[] {
  return (value) => [...new Set(value.split(',').map((part) => part.trim()))].map(parse);
}

/** An address that begins with one of these schemes, such as `mongodb:`. It is not taken apart further: what it means is its client's business. */
export function urlOf(...schemes: readonly string[]): (value: string) => string {
  return (value) => {
    const fits = schemes.some((scheme) => value.startsWith(`${scheme}//`) && value.length > scheme.length + 2);
    if (!fits || /\s/.test(value))
      throw new Unfit(`an address that begins with ${schemes.map((s) => `${s}//`).join(' or ')}`);
    return value;
  };
}

/** `http` or `https` with host and port, and nothing behind: an origin (RFC 6454). */
export function origin(value: string): string {
  const url = URL.canParse(value) ? new URL(value) : null;
  const isOrigin = url !== null && /^https?:$/.test(url.protocol) && url.username === '' && url.password === '';
  if (!isOrigin || url.href !== `${url.origin}/`)
    throw new Unfit("an address such as 'https://chat.example.org', without a path");
  return url.origin;
}
