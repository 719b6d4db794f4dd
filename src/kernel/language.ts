/** The languages that mails are written in. The first is used for all others. */
export const LANGUAGES = ['en', 'fr'] as const;

export type Language = (typeof LANGUAGES)[number];

const DEFAULT_LANGUAGE: Language = LANGUAGES[0];

/** The language of a tag that was stored, possibly by a version that knows more of them. */
export function languageOf(tag: string | null): Language {
  return LANGUAGES.find((known) => known === tag) ?? DEFAULT_LANGUAGE;
}

/** Language ranges that are read at most; browsers send fewer. */
const RANGES_MAX = 20;

/**
 * The language that an `Accept-Language` header (RFC 9110, section 12.5.4) prefers among ours: by quality, then by order. Regions are ignored, so that
 * `fr-CA` means `fr`. Malformed ranges are skipped.
 */
export function preferredLanguage(acceptLanguage: string | undefined): Language {
  const ranges = (acceptLanguage ?? '').split(',', RANGES_MAX).flatMap((range) => {
    const [, tag, quality = '1'] =
      /^\s*([a-z]{1,8})(?:-[a-z0-9]{1,8})*\s*(?:;\s*q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*)?$/i.exec(range) ?? [];
    const language = LANGUAGES.find((known) => known === tag?.toLowerCase());
    return language === undefined || Number(quality) === 0 ? [] : [{ language, quality: Number(quality) }];
  });
  // The sort is stable: ranges of the same quality keep their order.
  const [best] = ranges.sort((a, b) => b.quality - a.quality);
  return best?.language ?? DEFAULT_LANGUAGE;
}
