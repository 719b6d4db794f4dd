import { escapeHtml } from '../../kernel/html.ts';

/** The texts of one mail, in the order of their display. */
export type MailWords = Readonly<{
  subject: string;
  paragraphs: readonly string[];
  /** The link that the mail is about. */
  button?: Readonly<{ label: string; url: string }>;
  /** Small text below the button. */
  notes?: readonly string[];
}>;

/** Renders both bodies of a mail. Escapes all texts and URLs. */
export function renderMail({ subject, paragraphs, button, notes = [] }: MailWords): { text: string; html: string } {
  const text = [
    ...paragraphs,
    ...(button === undefined ? [] : [`${button.label}:\n${button.url}`]),
    ...notes,
    '-- \nParley',
  ];
  const html = `<!doctype html>
<html lang="en">
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
${button === undefined ? '' : buttonHtml(button)}
${notes.map((note) => `<p style="font-size:14px;opacity:.75">${escapeHtml(note)}</p>`).join('\n')}
</div>
</body>
</html>
`;
  return { text: `${text.join('\n\n')}\n`, html };
}

function buttonHtml({ label, url }: { label: string; url: string }): string {
  const style =
    'display:inline-block;padding:10px 18px;border-radius:6px;background:#1f5fbf;color:#fff;text-decoration:none';
  return `<p><a href="${escapeHtml(url)}" style="${style}">${escapeHtml(label)}</a></p>
<p style="font-size:14px;opacity:.75">Or open this address: <a href="${escapeHtml(url)}">${escapeHtml(url)}</a></p>`;
}
