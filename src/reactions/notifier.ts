/** Wakes a loop that waits for work. Call `next()` before looking for work, so that no notification is missed. */
export class Notifier {
  #next = Promise.withResolvers<void>();

  notify(): void {
    this.#next.resolve();
    this.#next = Promise.withResolvers();
  }

  /** Resolves at the next notification. */
  next(): Promise<void> {
    return this.#next.promise;
  }
}
