import type { Board, BoardDocument, BoardInput, Panel } from 'tidemark/client'
import { compact, firstGap, readingOrder } from './layout.ts'

/** What can be written of a board. Everything here is pure and gives a new draft. */
export type Draft = Required<BoardInput>

export const mostPanels = 60

export const emptyDocument: BoardDocument = { range: { from: '-24 hours' }, refresh: 'live', panels: [] }

export function draftOf({ name, description, document }: BoardInput | Board): Draft {
  return {
    name,
    description: description ?? null,
    document: { ...document, panels: compact(document.panels) },
  }
}

export function withPanels(draft: Draft, panels: readonly Panel[]): Draft {
  return { ...draft, document: { ...draft.document, panels } }
}

/** In the place of the one of that id, with its note where it brings none; or in the first gap. */
export function withPanel(draft: Draft, panel: Panel): Draft {
  const { panels } = draft.document
  const at = panels.findIndex(({ id }) => id === panel.id)
  const before = panels[at]
  if (!before) return withPanels(draft, [...panels, { ...panel, place: firstGap(panels, panel.place) }])
  const { note = before.note } = panel
  return withPanels(
    draft,
    panels.with(at, { ...panel, place: before.place, ...(note === undefined ? {} : { note }) }),
  )
}

export function withoutPanel(draft: Draft, id: string): Draft {
  return withPanels(draft, compact(draft.document.panels.filter((panel) => panel.id !== id)))
}

/** Title, note or unit; an empty note or unit is none. */
export function withWords(
  draft: Draft,
  id: string,
  words: { readonly title: string; readonly note: string; readonly unit: string },
): Draft {
  return withPanels(
    draft,
    draft.document.panels.map((panel) => {
      if (panel.id !== id) return panel
      const { note: _note, unit: _unit, ...rest } = panel
      return {
        ...rest,
        title: words.title,
        ...(words.note === '' ? {} : { note: words.note }),
        ...(words.unit === '' ? {} : { unit: words.unit }),
      }
    }),
  )
}

/** A copy in the first gap, and its id. */
export function withDuplicate(draft: Draft, id: string): { readonly draft: Draft; readonly id: string } {
  const panel = draft.document.panels.find((one) => one.id === id)
  if (!panel) return { draft, id }
  const copy = { ...panel, id: freshId(draft.document.panels), title: copyName(panel.title) }
  return { draft: withPanel(draft, copy), id: copy.id }
}

/** `p1`, `p2`, …: one that no panel has. */
export function freshId(panels: readonly { readonly id: string }[]): string {
  const taken = new Set(panels.map(({ id }) => id))
  let n = panels.length + 1
  while (taken.has(`p${n}`)) n++
  return `p${n}`
}

/** `Latency`, `Latency (copy)`, `Latency (copy 2)`. */
export function copyName(name: string): string {
  const [, stem = name, n] = /^(.*) \(copy(?: (\d+))?\)$/s.exec(name) ?? []
  if (stem === name) return `${name} (copy)`.slice(-200)
  return `${stem} (copy ${n === undefined ? 2 : Number(n) + 1})`.slice(-200)
}

export function inReadingOrder(document: BoardDocument): Panel[] {
  return readingOrder(document.panels)
}

/** Whether two drafts say the same; the order of keys and of panels in their list is nothing. */
export function isSame(a: unknown, b: unknown): boolean {
  if (a === b) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  if (Array.isArray(a) || Array.isArray(b)) {
    if (!Array.isArray(a) || !Array.isArray(b) || a.length !== b.length) return false
    return a.every((value, i) => isSame(value, b[i]))
  }
  const x = a as Record<string, unknown>
  const y = b as Record<string, unknown>
  const keys = new Set([...Object.keys(x), ...Object.keys(y)])
  return [...keys].every((key) => isSame(x[key], y[key]))
}
