/** Structured logging, as pino does it: an object of fields, then a message. No secret and no personal text goes into it. */
export type Logger = Readonly<{
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}>;

/** Swallows every line; for tools and tests whose output is their own. */
export const silentLogger: Logger = { debug() {}, info() {}, warn() {}, error() {} };
