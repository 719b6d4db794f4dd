import aliases from 'unicode-property-value-aliases-ecmascript';

/** Characters of these belong to any script. */
const NEUTRAL = /^[\p{scx=Common}\p{scx=Inherited}]$/u;
const LATIN = /^\p{scx=Latin}$/u;

/**
 * Writing systems that use several scripts, with Latin letters between them: Japanese, Chinese with Bopomofo, Korean (UTS #39, section 5.2, "Highly
 * Restrictive").
 */
const SYSTEMS = [
  /^[\p{scx=Latin}\p{scx=Han}\p{scx=Hiragana}\p{scx=Katakana}]$/u,
  /^[\p{scx=Latin}\p{scx=Han}\p{scx=Bopomofo}]$/u,
  /^[\p{scx=Latin}\p{scx=Han}\p{scx=Hangul}]$/u,
];

let scripts: readonly RegExp[] | null = null;

/** One expression for each script, compiled when it is first needed. The names come from a package, the characters from the engine. */
function allScripts(): readonly RegExp[] {
  scripts ??= [...new Set(aliases.get('Script_Extensions')?.values())].flatMap((name) => {
    try {
      return [new RegExp(`^\\p{scx=${name}}$`, 'u')];
    } catch {
      // A script that is newer than the engine's data, or that has no characters.
      return [];
    }
  });
  return scripts;
}

/**
 * Whether a text mixes scripts whose letters can be confused: neither do all of its characters share one script, nor one of the writing systems that
 * use several. Digits and punctuation that belong to no script are ignored.
 */
export function mixesScripts(text: string): boolean {
  const characters = [...text].filter((character) => !NEUTRAL.test(character));
  const isAll = (script: RegExp): boolean => characters.every((character) => script.test(character));
  // Most names are Latin.
  return !isAll(LATIN) && !SYSTEMS.some(isAll) && !allScripts().some(isAll);
}
