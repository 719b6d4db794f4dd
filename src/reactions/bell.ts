/** Tells a loop that there is something to look at. Take `next()` before looking, so that no ring is missed. */
export class Bell {
  private rung = Promise.withResolvers<void>();

  ring(): void {
    this.rung.resolve();
    this.rung = Promise.withResolvers();
  }

  /** Resolves at the next ring. */
  next(): Promise<void> {
    return this.rung.promise;
  }
}
