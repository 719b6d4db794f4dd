import type { FieldError } from '../../kernel/errors.ts';
import { type Html, html } from './html.ts';
import { page } from './layout.ts';

/** The form behind a mailed link; `errors` stand beside their fields. */
export function setPasswordPage(token: string, errors: readonly FieldError[] = []): string {
  const form = html`<p>Choose a password for your account. Any 8 to 128 characters will do, as long as they are not easy to guess.</p>
<form method="post" action="/set-password">
<input type="hidden" name="token" value="${token}">
${field('password', 'Password', errors)}
${field('confirmPassword', 'The same once more', errors)}
<button type="submit">Set password</button>
</form>`;
  return page('Set your password', form);
}

function field(name: string, label: string, errors: readonly FieldError[]): Html {
  const wrong = errors.filter(({ path }) => path === `/${name}`);
  const described = wrong.length === 0 ? html`` : html` aria-invalid="true" aria-describedby="${name}-error"`;
  const told = wrong.map(({ message }) => html`<p class="error" id="${name}-error">This ${message}.</p>`).slice(0, 1);
  return html`<label for="${name}">${label}</label>
<input id="${name}" name="${name}" type="password" autocomplete="new-password" required${described}>
${told}`;
}

export function passwordSetPage(): string {
  return page(
    'Your password is set',
    html`<p>Your e-mail address is confirmed and your account is ready. You can now sign in with your e-mail address and this password.</p>
<p class="hint">Writing a program? <code>POST /api/v1/sessions</code> signs in; <a href="/docs">the API's documentation</a> has the rest.</p>`,
  );
}

export function invalidLinkPage(): string {
  return page(
    'This link does not work',
    html`<p>It is wrong, was used already, was replaced by a newer one, or has expired.</p>
<p>Look for a newer mail from us, or sign up again with the same e-mail address: you will get a new link.</p>`,
  );
}
