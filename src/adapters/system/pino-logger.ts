import { pino } from 'pino';
import type { Logger } from '../../kernel/logger.ts';
import type { Output } from './output.ts';

/** Logs JSON lines of `level` and above. Secrets in known fields are redacted. */
export function createLogger(level: string, output: Pick<Output, 'write'>): Logger {
  const options = {
    level,
    redact: ['token', 'password', 'authorization', '*.token', '*.password', '*.authorization'],
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
  };
  return pino(options, output);
}
