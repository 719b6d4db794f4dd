/** Collections of the read models, as `<projection>/<collection>`. */
export const USERS = 'users/users';
export const CONVERSATIONS = 'conversations/conversations';
export const MESSAGES = 'messages/messages';
export const MEMBERSHIPS = 'memberships/memberships';
