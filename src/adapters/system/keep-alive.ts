import { TIMER_MAX } from './system-clock.ts';

/** Keeps the process running until the result is released: Node.js ends a process that only waits for timers of `Clock` and for promises. */
export function keepAlive(): Disposable {
  const timer = setInterval(() => {}, TIMER_MAX);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}
