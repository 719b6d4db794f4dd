import { pino } from 'pino';
import type { Logger } from '../../kernel/logger.ts';

/** Logs JSON lines of `level` and above to standard error; standard output is for text that people read. Secrets in known fields are redacted. */
export function createLogger(level: string): Logger {
  const options = {
    level,
    redact: ['token', 'password', 'authorization', '*.token', '*.password', '*.authorization'],
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
  };
  return pino(options, process.stderr);
}
