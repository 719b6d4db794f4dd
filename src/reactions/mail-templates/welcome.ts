import type { MailTemplate } from './layout.ts';

/**
 * To an address with which somebody registered, possibly not its owner. The mail contains none of the registration's input, so that strangers cannot
 * send texts of their own through it.
 */
export const welcomeMail: MailTemplate<{ url: string }> = {
  en: ({ url }) => ({
    subject: 'Welcome to Parley: set your password',
    paragraphs: [
      'Welcome to Parley.',
      'To complete your registration, set a password. This also confirms that this e-mail address is yours.',
    ],
    button: { label: 'Set your password', url },
    notes: [
      'The link can be used once and expires after 24 hours.',
      'If you did not register, ignore this mail: without the link, the account cannot be used.',
    ],
  }),
  fr: ({ url }) => ({
    subject: 'Bienvenue sur Parley\u00a0: choisissez votre mot de passe',
    paragraphs: [
      'Bienvenue sur Parley.',
      'Pour terminer votre inscription, choisissez un mot de passe. Vous confirmez ainsi que cette adresse e-mail est la vôtre.',
    ],
    button: { label: 'Choisir votre mot de passe', url },
    notes: [
      'Ce lien ne peut être utilisé qu’une seule fois et expire au bout de 24 heures.',
      'Si vous ne vous êtes pas inscrit, ignorez ce message\u00a0: sans ce lien, le compte ne peut pas être utilisé.',
    ],
  }),
};
