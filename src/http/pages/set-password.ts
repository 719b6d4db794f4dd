import type { FieldError } from '../../kernel/errors.ts';
import { type Html, html } from './html.ts';
import { page } from './layout.ts';

/** The form that a mailed link opens; each error is shown beside its field. */
export function setPasswordPage(token: string, errors: readonly FieldError[] = []): string {
  const form = html`<p>Choose a password for your account: 8 to 128 characters that are not easy to guess.</p>
<form method="post" action="/set-password">
<input type="hidden" name="token" value="${token}">
${field('password', 'Password', errors)}
${field('confirmPassword', 'Repeat the password', errors)}
<button type="submit">Set password</button>
</form>`;
  return page('Set your password', form);
}

function field(name: string, label: string, errors: readonly FieldError[]): Html {
  const error = errors.find(({ path }) => path === `/${name}`);
  const described = error === undefined ? html`` : html` aria-invalid="true" aria-describedby="${name}-error"`;
  const message = error === undefined ? html`` : html`<p class="error" id="${name}-error">This ${error.message}.</p>`;
  return html`<label for="${name}">${label}</label>
<input id="${name}" name="${name}" type="password" autocomplete="new-password" required${described}>
${message}`;
}

export function passwordSetPage(): string {
  return page(
    'Your password is set',
    html`<p>Your e-mail address is confirmed and your account is ready. You can now sign in with your e-mail address and this password.</p>
<p class="hint">For programs: <code>POST /api/v1/sessions</code> signs in; see the <a href="/docs">API documentation</a>.</p>`,
  );
}

export function invalidLinkPage(): string {
  return page(
    'This link does not work',
    html`<p>It is wrong, was already used, was replaced by a newer one, or has expired.</p>
<p>Look for a newer mail from us, or sign up again with the same e-mail address to get a new link.</p>`,
  );
}
