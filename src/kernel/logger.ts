/** Structured logging with the signature of pino: an object of fields, then a message. Log no secrets and no personal data. */
export type Logger = Readonly<{
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}>;

/** Discards every line; for tools and tests. */
export const silentLogger: Logger = { debug() {}, info() {}, warn() {}, error() {} };
