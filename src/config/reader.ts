/** Environment variables, in the form of `process.env`. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** An error in one variable: `name` and `message` form one line for the operator. The message never contains the value of a secret. */
export type ConfigError = Readonly<{ name: string; message: string }>;

/** Thrown by a parser for an invalid value. The message says what the value must be, in words that follow "must be". */
export class InvalidValue extends Error {
  override readonly name = 'InvalidValue';
}

/** Reads variables and collects all errors, so that they can be reported together. */
export class ConfigReader {
  readonly errors: ConfigError[] = [];
  readonly #env: Environment;

  constructor(env: Environment) {
    this.#env = env;
  }

  /** The value without surrounding spaces; `null` when it is not set or empty. */
  raw(name: string): string | null {
    const value = this.#env[name]?.trim();
    return value === undefined || value === '' ? null : value;
  }

  /** The parsed value, or `fallback` when it is not set. An invalid value adds an error and returns the fallback. */
  read<T, F>(name: string, fallback: F, parse: (value: string) => T): T | F {
    const value = this.raw(name);
    return value === null
      ? fallback
      : this.#parse(name, value, fallback, parse, ` (it is '${withoutCredentials(value)}')`);
  }

  /** Like `read`, without the value in error messages. */
  readSecret<T, F>(name: string, fallback: F, parse: (value: string) => T): T | F {
    const value = this.raw(name);
    return value === null ? fallback : this.#parse(name, value, fallback, parse, '');
  }

  /** The one of two names of a setting that is set. Both may be set only to the same value. */
  either(name: string, alias: string): string {
    const [value, other] = [this.raw(name), this.raw(alias)];
    if (value !== null && other !== null && value !== other) {
      this.fail(alias, `is an alias of ${name}, which is set to a different value; set only one of them`);
    }
    return value === null && other !== null ? alias : name;
  }

  /** Adds an error. */
  fail(name: string, message: string): void {
    this.errors.push({ name, message });
  }

  /** `shown`: the value as error messages show it. */
  #parse<T, F>(name: string, value: string, fallback: F, parse: (value: string) => T, shown: string): T | F {
    try {
      return parse(value);
    } catch (error) {
      if (!(error instanceof InvalidValue)) throw error;
      this.fail(name, `must be ${error.message}${shown}`);
      return fallback;
    }
  }
}

/** An invalid value may be a URL that contains a password. */
function withoutCredentials(value: string): string {
  return value.replace(/\/\/[^/\s]*@/g, '//…@');
}

/** Parses an integer from `min` to `max`, both included. */
export function integer(min: number, max: number): (value: string) => number {
  return (value) => {
    const number = Number(value);
    if (!/^\d+$/.test(value) || number < min || number > max)
      throw new InvalidValue(`an integer from ${min} to ${max}`);
    return number;
  };
}

/** Parses one of the given words. */
export function oneOf<Word extends string>(...words: readonly Word[]): (value: string) => Word {
  return (value) => {
    const found = words.find((word) => word === value);
    if (found === undefined) throw new InvalidValue(`one of ${words.join(', ')}`);
    return found;
  };
}

/** Parses a comma-separated list of at least one value; duplicates are removed. */
export function listOf<T>(parse: (value: string) => T): (value: string) => readonly T[] {
  return (value) => [...new Set(value.split(',').map((part) => part.trim()))].map(parse);
}

/** Parses a URL with one of these schemes, such as `mongodb:`. Only the scheme is checked; the client of the service parses the rest. */
export function urlOf(...schemes: readonly string[]): (value: string) => string {
  return (value) => {
    const fits = schemes.some((scheme) => value.startsWith(`${scheme}//`) && value.length > scheme.length + 2);
    if (!fits || /\s/.test(value))
      throw new InvalidValue(`a URL that begins with ${schemes.map((s) => `${s}//`).join(' or ')}`);
    return value;
  };
}

/** Parses an origin (RFC 6454): `http` or `https`, host and port, without credentials, path or query. */
export function origin(value: string): string {
  const url = URL.canParse(value) ? new URL(value) : null;
  const isOrigin = url !== null && /^https?:$/.test(url.protocol) && url.username === '' && url.password === '';
  if (!isOrigin || url.href !== `${url.origin}/`)
    throw new InvalidValue("an origin such as 'https://chat.example.org', without a path");
  return url.origin;
}
