/** Members of a conversation at most. */
export const MEMBERS_MAX = 10_000;

/** The latest messages whose ids a conversation knows: within them, repeating a send is told apart from a new one. */
export const KNOWN_MESSAGES = 5_000;
