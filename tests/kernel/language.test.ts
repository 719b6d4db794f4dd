import { describe, expect, it } from 'vitest';
import { languageOf, preferredLanguage } from '../../src/kernel/language.ts';

describe('Accept-Language', () => {
  it.each([
    [undefined, 'en'],
    ['', 'en'],
    ['*', 'en'],
    ['fr', 'fr'],
    ['FR-ca', 'fr'],
    ['fr-Latn-CA', 'fr'],
    ['en-GB,fr', 'en'],
    ['de, fr;q=0.8, en;q=0.7', 'fr'],
    ['fr;q=0.5,en;q=0.9', 'en'],
    ['fr ; q=0.5 , en;q=0.4', 'fr'],
    ['en;q=0,fr;q=0.001', 'fr'],
    ['fr;q=0', 'en'],
    ['fr;q=2', 'en'],
    ['fr;q=0.5;x', 'en'],
    ['french', 'en'],
    ['de,it,es', 'en'],
    [`${'de,'.repeat(20)}fr`, 'en'],
    [`${'-'.repeat(16_000)}fr`, 'en'],
  ])('%j means %s', (header, language) => {
    expect(preferredLanguage(header)).toBe(language);
  });
});

describe('the tag of a language', () => {
  it.each([
    ['en', 'en'],
    ['fr', 'fr'],
    ['de', 'en'],
    [null, 'en'],
  ])('%j means mails in %s', (tag, language) => {
    expect(languageOf(tag)).toBe(language);
  });
});
