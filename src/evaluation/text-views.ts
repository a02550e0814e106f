/** What published evaluations do to texts before their metrics see them. */

/**
 * Lowercased, and split at every character that is no letter, digit or underscore, as LoRA's evaluation of WebNLG and
 * DART does: "3.5 stars" becomes "3 . 5 stars".
 */
export const lowercasedWords = (text: string): string =>
  text
    .toLowerCase()
    .replace(/[^\p{L}\p{N}_]/gu, ' $& ')
    .split(/\s+/)
    .filter((word) => word !== '')
    .join(' ')
