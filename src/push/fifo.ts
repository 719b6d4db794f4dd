/** A queue whose oldest item is removed at a constant cost, and which keeps no reference to removed items. */
export class Fifo<Item> {
  #slots: (Item | undefined)[] = [];
  #head = 0;

  get length(): number {
    return this.#slots.length - this.#head;
  }

  /** The item at this place, 0 for the oldest. */
  at(place: number): Item | undefined {
    return this.#slots[this.#head + place];
  }

  push(item: Item): void {
    this.#slots.push(item);
  }

  /** Removes the oldest. */
  shift(): Item | undefined {
    const oldest = this.#slots[this.#head];
    if (this.length === 0) return undefined;
    this.#slots[this.#head++] = undefined;
    if (this.#head >= 16 && this.#head * 2 >= this.#slots.length) {
      this.#slots = this.#slots.slice(this.#head);
      this.#head = 0;
    }
    return oldest;
  }
}
