import { escapeHtml } from '../../kernel/html.ts';
import type { Language } from '../../kernel/language.ts';

/** The texts of one mail, in the order of their display. */
export type MailWords = Readonly<{
  subject: string;
  paragraphs: readonly string[];
  /** The link that the mail is about. */
  button?: Readonly<{ label: string; url: string }>;
  /** Small text below the button. */
  notes?: readonly string[];
}>;

/** One mail in every language. `Values`: what it is made from. */
export type MailTemplate<Values> = Readonly<Record<Language, (values: Values) => MailWords>>;

/** The words of the layout itself, without a colon at their end. */
const LAYOUT: Readonly<Record<Language, Readonly<{ orOpen: string; colon: string }>>> = {
  en: { orOpen: 'Or open this address', colon: ':' },
  // French sets a no-break space before a colon.
  fr: { orOpen: 'Ou ouvrez cette adresse', colon: '\u00a0:' },
};

/** Renders both bodies of a mail. Escapes all texts and URLs. */
export function renderMail(language: Language, words: MailWords): { text: string; html: string } {
  const { subject, paragraphs, button, notes = [] } = words;
  const text = [
    ...paragraphs,
    ...(button === undefined ? [] : [`${button.label}${LAYOUT[language].colon}\n${button.url}`]),
    ...notes,
    '-- \nParley',
  ];
  const html = `<!doctype html>
<html lang="${language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>${escapeHtml(subject)}</title>
</head>
<body style="margin:0;padding:24px;font:16px/1.5 system-ui,sans-serif">
<div style="max-width:34em;margin:0 auto">
<p style="font-weight:bold">Parley</p>
${paragraphs.map((paragraph) => `<p>${escapeHtml(paragraph)}</p>`).join('\n')}
${button === undefined ? '' : buttonHtml(language, button)}
${notes.map((note) => `<p style="font-size:14px;opacity:.75">${escapeHtml(note)}</p>`).join('\n')}
</div>
</body>
</html>
`;
  return { text: `${text.join('\n\n')}\n`, html };
}

function buttonHtml(language: Language, { label, url }: { label: string; url: string }): string {
  const { orOpen, colon } = LAYOUT[language];
  const style =
    'display:inline-block;padding:10px 18px;border-radius:6px;background:#1f5fbf;color:#fff;text-decoration:none';
  return `<p><a href="${escapeHtml(url)}" style="${style}">${escapeHtml(label)}</a></p>
<p style="font-size:14px;opacity:.75">${orOpen}${colon} <a href="${escapeHtml(url)}">${escapeHtml(url)}</a></p>`;
}
