// Node 20 has both; TypeScript's library of ES2023, which everything else here is held to, does not know them

/** No half of a surrogate pair. */
export function isWellFormed(text: string): boolean {
  return (text as string & { isWellFormed(): boolean }).isWellFormed()
}

/** Halves of surrogate pairs replaced by U+FFFD. */
export function toWellFormed(text: string): string {
  return (text as string & { toWellFormed(): string }).toWellFormed()
}
