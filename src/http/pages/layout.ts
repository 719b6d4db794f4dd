import { type Html, html } from './html.ts';

export const STYLESHEET = '/assets/parley.css';

/** A whole page around its content. */
export function page(title: string, content: Html): string {
  const document = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>${title} · Parley</title>
<link rel="stylesheet" href="${STYLESHEET}">
</head>
<body>
<header><a href="/">Parley</a></header>
<main>
<h1>${title}</h1>
${content}
</main>
</body>
</html>
`;
  return document.text;
}
