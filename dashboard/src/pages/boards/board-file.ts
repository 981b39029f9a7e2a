import type { Board, BoardInput } from 'tidemark/client'
import type { Draft } from './document.ts'

/** A board as text: what `boards: ['boards/*.json']` of the configuration and the command line read, too. */
export function boardText({ name, description, document }: BoardInput | Draft | Board): string {
  const said = description == null || description === '' ? {} : { description }
  return `${JSON.stringify({ name, ...said, document }, null, 2)}\n`
}

/** `Latency by model` → `latency-by-model.json` */
export function fileName(name: string): string {
  const stem = name
    .normalize('NFKD')
    .replace(/\p{M}/gu, '')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, 80)
  return `${stem === '' ? 'board' : stem}.json`
}

/** Read as far as the shape of a file goes; what a board may hold is the server's to say, with the path of what is wrong. */
export function readBoardText(text: string): { readonly board: BoardInput } | { readonly problem: string } {
  if (text.trim() === '') return { problem: 'The file is empty. Export a board to see what belongs in it.' }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    return { problem: `This is not JSON: ${error instanceof Error ? error.message : String(error)}` }
  }
  if (Array.isArray(value)) {
    return { problem: 'This is a list. A file holds one board: an object with name and document.' }
  }
  const { name, description, document } = (value ?? {}) as Partial<BoardInput>
  if (typeof name !== 'string' || typeof document !== 'object' || document === null) {
    return { problem: 'This is no board: an object with a name and a document is expected.' }
  }
  // what an answer of the server has beside (its id, its version) says nothing about a new board
  return { board: { name, description: description ?? null, document } }
}
