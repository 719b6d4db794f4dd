/**
 * Normalizes text for the comparison and search of names: without case, marks, compatibility forms (NFKD) and surplus spaces. Idempotent.
 */
export function foldText(text: string): string {
  // Lower-casing can produce marks again ('İ'), hence the second decomposition.
  const plain = text.normalize('NFKD').toLowerCase().normalize('NFKD').replace(/\p{M}/gu, '');
  return plain.replace(/\s+/gu, ' ').trim();
}
