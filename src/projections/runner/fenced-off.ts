/** Another runner writes the same documents: this one has to stop. */
export class FencedOff extends Error {
  override readonly name = 'FencedOff';
}
