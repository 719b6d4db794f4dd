/** Duration of one measurement of a rate, in seconds. */
export const seconds = (): number => Number(process.env.BENCH_SECONDS ?? 5);
