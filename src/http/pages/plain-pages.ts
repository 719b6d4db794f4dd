import { html } from './html.ts';
import { page } from './layout.ts';

/** The page at `/`: what this server is, and where to go on. */
export function landingPage(): string {
  return page(
    'Parley is running',
    html`<p>Parley is the backend of a collaboration product: accounts, mail, conversations and projects, built on an event log.</p>
<p>It speaks REST and WebSocket:</p>
<ul>
<li><a href="/docs">Documentation of the API</a>, to read and to try</li>
<li><a href="/openapi.json">The same as OpenAPI 3.1</a></li>
<li><a href="/readyz">How this server is</a></li>
</ul>`,
  );
}

/** What went wrong, for somebody in a browser. */
export function errorPage(title: string, detail: string): string {
  return page(title, html`<p>${detail.charAt(0).toUpperCase()}${detail.slice(1)}.</p>`);
}
