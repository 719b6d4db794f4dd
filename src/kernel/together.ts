/** Waits for all of them, also when one fails: when it rejects, with the first reason, none is in progress any more. */
export async function together(tasks: readonly Promise<void>[]): Promise<void> {
  const failed = (await Promise.allSettled(tasks)).find((outcome) => outcome.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}
