import type { MailTemplate } from './layout.ts';

/** To the owner of an active account, after somebody tried to register with its address. `url`: the page to sign in. */
export const registrationRepeatedMail: MailTemplate<{ name: string; username: string; url: string }> = {
  en: ({ name, username, url }) => ({
    subject: 'You already have a Parley account',
    paragraphs: [
      `Hello ${name},`,
      `somebody tried to register at Parley with this e-mail address. It belongs to your account '${username}', so nothing was changed.`,
      'If this was you, sign in with your existing password.',
    ],
    button: { label: 'Sign in', url },
    notes: ['If this was not you, no action is needed. We did not disclose that this address has an account.'],
  }),
  fr: ({ name, username, url }) => ({
    subject: 'Vous avez déjà un compte Parley',
    paragraphs: [
      `Bonjour ${name},`,
      `quelqu’un a essayé de s’inscrire sur Parley avec cette adresse e-mail. Elle appartient à votre compte «\u00a0${username}\u00a0», rien n’a donc été modifié.`,
      'Si c’était vous, connectez-vous avec votre mot de passe actuel.',
    ],
    button: { label: 'Se connecter', url },
    notes: [
      'Si ce n’était pas vous, vous n’avez rien à faire. Nous n’avons pas révélé que cette adresse est liée à un compte.',
    ],
  }),
};
