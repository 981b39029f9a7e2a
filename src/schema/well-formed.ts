/** Whether the text is Unicode, without half a surrogate pair. Node has it from version 20, TypeScript's ES2023 types do not. */
export function isWellFormed(text: string): boolean {
  return (text as string & { isWellFormed(): boolean }).isWellFormed()
}
