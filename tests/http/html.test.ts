import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { html } from '../../src/http/pages/html.ts';
import { setPasswordPage } from '../../src/http/pages/set-password.ts';
import { escapeHtml } from '../../src/kernel/html.ts';

describe('html', () => {
  it('escapes interpolated text', () => {
    expect(html`<p title="${'"><script>'}">${"Tom & 'Jerry'"}</p>`.text).toBe(
      '<p title="&quot;&gt;&lt;script&gt;">Tom &amp; &#39;Jerry&#39;</p>',
    );
  });

  it('does not escape HTML twice', () => {
    const items = ['a', '<b>'].map((item) => html`<li>${item}</li>`);
    expect(html`<ul>${items}</ul>`.text).toBe('<ul><li>a</li><li>&lt;b&gt;</li></ul>');
  });

  it('never lets text end an attribute or start an element', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(escapeHtml(text)).not.toMatch(/[<>"']/);
      }),
    );
  });
});

describe('the page to set a password', () => {
  it('escapes the token and shows an error beside its field', () => {
    const errors = [{ path: '/password', message: 'must have at least 8 characters' }];
    const page = setPasswordPage({ token: '"><img>', names: null, errors });
    expect(page).toContain('name="token" value="&quot;&gt;&lt;img&gt;"');
    expect(page).toContain('aria-invalid="true" aria-describedby="password-error"');
    expect(page).toContain('<p class="error" id="password-error">This must have at least 8 characters.</p>');
    expect(page).not.toContain('confirmPassword-error');
    expect(page).not.toContain('name="username"');
  });

  it('shows the names that the account gets, escaped, with an error beside its field', () => {
    const names = { username: '"><script>', firstname: null, lastname: 'Lovelace' };
    const page = setPasswordPage({ token: 'x', names, errors: [{ path: '/username', message: 'is taken' }] });
    expect(page).toContain('autocomplete="username" required value="&quot;&gt;&lt;script&gt;" aria-invalid="true"');
    expect(page).toContain('<p class="error" id="username-error">This is taken.</p>');
    expect(page).toContain('name="firstname" type="text" autocomplete="given-name" value=""');
    expect(page).toContain('name="lastname" type="text" autocomplete="family-name" value="Lovelace"');
  });
});
