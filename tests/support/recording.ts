import type { Mail, Mailer } from '../../src/ports/mailer.ts';
import type { Client, EndReason } from '../../src/push/client.ts';
import type { Frame } from '../../src/push/frames.ts';

/** A live client that takes everything. */
export class RecordingClient implements Client {
  readonly userId: string;
  readonly sessionId: string;
  readonly frames: string[] = [];
  /** Why the hub has ended it, `null` when it has not. */
  ended: EndReason | null = null;

  constructor(userId: string, sessionId = 'test') {
    this.userId = userId;
    this.sessionId = sessionId;
  }

  get text(): string {
    return this.frames.join('\n');
  }

  deliver(frames: readonly Frame[]): number {
    for (const { bytes } of frames) this.frames.push(bytes.toString());
    return frames.length;
  }

  async drained(): Promise<void> {}
  end(reason: EndReason): void {
    this.ended = reason;
  }
}

/** A mailer that keeps what it was given. */
export function recordingMailer(): Mailer & Readonly<{ mails: readonly Mail[] }> {
  const mails: Mail[] = [];
  return {
    mails,
    send: async (mail) => {
      mails.push(mail);
    },
    close: async () => {},
  };
}
