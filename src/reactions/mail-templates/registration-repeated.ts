import type { MailWords } from './layout.ts';

/** To the owner of an active account, whose address somebody tried to register again. */
export function registrationRepeatedMail(account: { name: string; username: string }, url: string): MailWords {
  return {
    subject: 'You already have a Parley account',
    paragraphs: [
      `Hello ${account.name},`,
      `somebody tried to register at Parley with this e-mail address. It already belongs to your account '${account.username}', so nothing was changed.`,
      'If that was you, sign in with the password you have.',
    ],
    button: { label: 'Sign in', url },
    notes: ['If it was not you, there is nothing to do: they were not told that you have an account.'],
  };
}
