import { describe, expect, it } from 'vitest';
import { createPrometheusTelemetry } from '../../src/adapters/prometheus/telemetry.ts';
import { type Mail, MailError, type Mailer } from '../../src/ports/mailer.ts';
import { measureMailer } from '../../src/telemetry/measure-mailer.ts';
import { collected, summaryOf, valuesOf } from './exposition.ts';
import { rejection, TICK, tickingClock } from './fixtures.ts';

const mail: Mail = {
  messageId: '<1@parley>',
  to: 'ann@example.org',
  subject: 'Hello',
  text: 'Hello',
  html: '<p>Hello</p>',
};

function setUp(...failures: (Error | null)[]) {
  const calls: unknown[][] = [];
  const mailer: Mailer = {
    async send(...args) {
      calls.push(['send', ...args]);
      const failure = failures.shift() ?? null;
      if (failure !== null) throw failure;
    },
    async close() {
      calls.push(['close']);
    },
  };
  const telemetry = createPrometheusTelemetry({ processMetrics: false });
  return { calls, telemetry, measured: measureMailer(mailer, telemetry, tickingClock()) };
}

describe('a measured mailer', () => {
  it('passes every call on', async () => {
    const { calls, measured } = setUp();
    await measured.send(mail);
    await measured.close();
    expect(calls).toEqual([['send', mail], ['close']]);
    expect(calls[0]?.[1]).toBe(mail);
  });

  it('counts attempts by outcome, from zero, and measures them', async () => {
    const temporary = new MailError('busy', { permanent: false });
    const permanent = new MailError('no such recipient', { permanent: true });
    const bug = new TypeError('a bug');
    const { measured, telemetry } = setUp(null, null, temporary, permanent, bug);
    const attempts = async () => valuesOf((await collected(telemetry)).get('parley_mail_attempts_total'));
    expect(await attempts()).toEqual({ 'outcome=sent': 0, 'outcome=temporary': 0, 'outcome=permanent': 0 });
    await measured.send(mail);
    await measured.send(mail);
    for (const failure of [temporary, permanent, bug]) expect(await rejection(measured.send(mail))).toBe(failure);
    // A failure that is not permanent is retried by the caller.
    expect(await attempts()).toEqual({ 'outcome=sent': 2, 'outcome=temporary': 2, 'outcome=permanent': 1 });
    const duration = (await collected(telemetry)).get('parley_mail_attempt_duration_seconds');
    expect(summaryOf(duration)).toEqual({ '': [5, 5 * TICK] });
  });
});
