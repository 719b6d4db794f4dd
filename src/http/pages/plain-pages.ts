import { html } from './html.ts';
import { page } from './layout.ts';

/** The page at `/`: what this server is, and links to its documentation. */
export function landingPage(): string {
  return page(
    'Parley is running',
    html`<p>Parley is the backend of a collaboration product: accounts, mail, conversations and projects, built on an event log.</p>
<p>Its interface is REST and WebSocket:</p>
<ul>
<li><a href="/docs">API documentation</a>, from which requests can be sent</li>
<li><a href="/openapi.json">The same as OpenAPI 3.1</a></li>
<li><a href="/readyz">State of this server</a></li>
</ul>`,
  );
}

/** An error, for people in a browser. */
export function errorPage(title: string, detail: string): string {
  return page(title, html`<p>${detail.charAt(0).toUpperCase()}${detail.slice(1)}.</p>`);
}
