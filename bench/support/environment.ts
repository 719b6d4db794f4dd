/** How long one measurement of a rate takes, in seconds. */
export const seconds = (): number => Number(process.env.BENCH_SECONDS ?? 5);
