import { pino } from 'pino';
import type { Logger } from '../../kernel/logger.ts';

/** JSON lines on standard error, so that standard output is left to what a person is to read. */
export function createLogger(level: string): Logger {
  const options = {
    level,
    redact: ['token', 'password', 'authorization', '*.token', '*.password', '*.authorization'],
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
  };
  return pino(options, process.stderr);
}
