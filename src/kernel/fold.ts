/**
 * Text in the form in which names are compared and searched: without case, marks, compatibility forms (NFKD) and surplus spaces.
 * Folding twice changes nothing.
 */
export function foldText(text: string): string {
  // Lower case can bring marks back ('İ'), hence the second decomposition.
  const plain = text.normalize('NFKD').toLowerCase().normalize('NFKD').replace(/\p{M}/gu, '');
  return plain.replace(/\s+/gu, ' ').trim();
}
