import type { ProfileNames } from '../../identity/identity.ts';
import type { FieldError } from '../../kernel/errors.ts';
import { type Html, html } from './html.ts';
import { page } from './layout.ts';

/** `names`: those that the account gets, to be changed if they are wrong; `null` for an account that has its names. */
type Form = Readonly<{ token: string; names: ProfileNames | null; errors?: readonly FieldError[] }>;

/** The form that a mailed link opens; each error is shown beside its field. */
export function setPasswordPage({ token, names, errors = [] }: Form): string {
  const form = html`<p>Choose a password for your account: 8 to 128 characters that are not easy to guess.</p>
<form method="post" action="/set-password">
<input type="hidden" name="token" value="${token}">
${names === null ? html`` : nameFields(names, errors)}
${passwordField('password', 'Password', errors)}
${passwordField('confirmPassword', 'Repeat the password', errors)}
<button type="submit">Set password</button>
</form>`;
  return page('Set your password', form);
}

/** Somebody else may have entered the names, so they are shown before the account gets them. */
function nameFields({ username, firstname, lastname }: ProfileNames, errors: readonly FieldError[]): Html {
  return html`<p>These names were entered when this address was registered. Correct them if they are not yours.</p>
${field('username', 'Username', html`type="text" autocomplete="username" required value="${username}"`, errors)}
${field('firstname', 'First name', html`type="text" autocomplete="given-name" value="${firstname ?? ''}"`, errors)}
${field('lastname', 'Last name', html`type="text" autocomplete="family-name" value="${lastname ?? ''}"`, errors)}`;
}

function passwordField(name: string, label: string, errors: readonly FieldError[]): Html {
  return field(name, label, html`type="password" autocomplete="new-password" required`, errors);
}

function field(name: string, label: string, attributes: Html, errors: readonly FieldError[]): Html {
  const error = errors.find(({ path }) => path === `/${name}`);
  const described = error === undefined ? html`` : html` aria-invalid="true" aria-describedby="${name}-error"`;
  const message = error === undefined ? html`` : html`<p class="error" id="${name}-error">This ${error.message}.</p>`;
  return html`<label for="${name}">${label}</label>
<input id="${name}" name="${name}" ${attributes}${described}>
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
