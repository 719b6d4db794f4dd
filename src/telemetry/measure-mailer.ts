import type { Clock } from '../ports/clock.ts';
import { MailError, type Mailer } from '../ports/mailer.ts';
import type { Telemetry } from '../ports/telemetry.ts';
import { secondsSince } from './durations.ts';

/** Seconds up to the 30 in which a mailer settles. */
const BUCKETS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30];

const OUTCOMES = ['sent', 'temporary', 'permanent'] as const;

/** The same mailer, with its mails measured. */
export function measureMailer(mailer: Mailer, telemetry: Telemetry, clock: Clock): Mailer {
  const attempts = telemetry.counter({
    name: 'parley_mail_attempts_total',
    help: 'Attempts to send a mail: sent (the next hop accepted it), or a temporary or permanent failure.',
    labels: ['outcome'],
  });
  const duration = telemetry.histogram({
    name: 'parley_mail_attempt_duration_seconds',
    help: 'Duration of attempts to send a mail.',
    buckets: BUCKETS,
  });
  // Mails are rare: without a zero to start from, the first failure would not count as an increase.
  for (const outcome of OUTCOMES) attempts.add(0, { outcome });

  return {
    async send(mail) {
      const startedAt = clock.monotonic();
      let outcome: (typeof OUTCOMES)[number] = 'sent';
      try {
        await mailer.send(mail);
      } catch (error) {
        outcome = error instanceof MailError && error.permanent ? 'permanent' : 'temporary';
        throw error;
      } finally {
        duration.observe(secondsSince(clock, startedAt), {});
        attempts.add(1, { outcome });
      }
    },
    close: () => mailer.close(),
  };
}
