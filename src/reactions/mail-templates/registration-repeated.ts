import type { MailWords } from './layout.ts';

/** To the owner of an active account, after somebody tried to register with its address. */
export function registrationRepeatedMail(account: { name: string; username: string }, url: string): MailWords {
  return {
    subject: 'You already have a Parley account',
    paragraphs: [
      `Hello ${account.name},`,
      `somebody tried to register at Parley with this e-mail address. It belongs to your account '${account.username}', so nothing was changed.`,
      'If this was you, sign in with your existing password.',
    ],
    button: { label: 'Sign in', url },
    notes: ['If this was not you, no action is needed. We did not disclose that this address has an account.'],
  };
}
