/** Reads small public documents of other services over HTTP, such as the keys of an issuer. */
export interface WebDocuments {
  /**
   * The JSON document at an `http` or `https` URL. Throws `WebDocumentError` when it cannot be read within the time and size that the adapter allows,
   * and for a redirect: the service is asked at the configured address only.
   */
  json(url: string): Promise<unknown>;
}

/** A document could not be read; the message names the URL and the reason, for operators. */
export class WebDocumentError extends Error {
  override readonly name = 'WebDocumentError';
}
