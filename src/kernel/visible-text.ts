/** Rules for text that people see (spec, section 3), by the properties of the engine's own Unicode data. */

/** Letters, numbers, punctuation and symbols. Hangul fillers are letters that are ignored in display; the blank Braille pattern is a symbol. */
const VISIBLE = /[[\p{L}\p{N}\p{P}\p{S}]--[\p{Default_Ignorable_Code_Point}\u2800]]/v;
const CONTROLS = /[\p{Cc}\p{Zl}\p{Zp}]/u;
const CONTROLS_OF_CONTENT = /[[\p{Cc}\p{Zl}\p{Zp}]--[\t\n\r\u2028\u2029]]/v;
/** Embeddings, overrides and isolates: within the sentences of others, a name must not change the direction of what follows. */
const DIRECTION_OF_NAMES = /[\u202A-\u202E\u2066-\u2069]/u;
/** Overrides only: keyboards and address books insert the others. */
const DIRECTION_OF_CONTENT = /[\u202D\u202E]/u;

/** What is wrong with a name of a person or group, `null` when nothing is. Joiners, which some scripts need, are allowed. */
export function nameError(name: string): string | null {
  return textError(name, CONTROLS, DIRECTION_OF_NAMES);
}

/** The same for the content of a message, which may have several lines. */
export function contentError(content: string): string | null {
  return textError(content, CONTROLS_OF_CONTENT, DIRECTION_OF_CONTENT);
}

function textError(text: string, controls: RegExp, direction: RegExp): string | null {
  if (!text.isWellFormed()) return 'must be well-formed text, without lone surrogates';
  if (controls.test(text)) return 'must not contain control characters';
  if (direction.test(text)) return 'must not contain characters that override the direction of text';
  return VISIBLE.test(text) ? null : 'must contain a visible character';
}
