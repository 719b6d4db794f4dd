import type { Scene } from '../../examples/two-people.ts';
import type { Server } from './server.ts';
import type { TestSmtpServer } from './smtp.ts';

/** The scene of the example at a node, whose mails arrive at `smtp`. */
export function sceneAt({ url }: Pick<Server, 'url'>, smtp: TestSmtpServer): Scene {
  return {
    url,
    linkFor: async (email) => {
      const { text } = await smtp.waitForMail(email, 1, 30_000);
      return /https?:\/\/\S+\/set-password\?token=\S+/.exec(text)?.[0] ?? '';
    },
    report: () => {},
  };
}
