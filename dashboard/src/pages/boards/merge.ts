import type { Panel } from 'tidemark/client'
import { type Draft, isSame } from './document.ts'
import { compact, type Place } from './layout.ts'

/** What two people made of the same version of a board, part by part. Pure. */

export type Act = 'added' | 'changed' | 'removed'
export type Side = 'mine' | 'theirs'

export interface Difference {
  /** `name`, `description`, `range`, `refresh`, `arrangement`, `panel:<id>` */
  readonly key: string
  /** For people: `the panel "Latency"`. */
  readonly what: string
  readonly mine: Act | null
  readonly theirs: Act | null
  /** Of a panel that was changed: which of its parts. */
  readonly parts: { readonly mine: readonly string[]; readonly theirs: readonly string[] }
  /** Both did something, and not the same. */
  readonly isConflict: boolean
}

const words = { name: 'the name', description: 'the description' } as const
const settings = { range: 'the range it opens with', refresh: 'how it is refreshed' } as const
const panelParts = ['title', 'chart', 'query', 'compare', 'unit', 'note'] as const

/** What is not as it was, on either side. Parts that both changed alike are told, and are no conflict. */
export function differences(base: Draft, mine: Draft, theirs: Draft): Difference[] {
  const found: Difference[] = []
  const look = (key: string, what: string, was: unknown, my: unknown, their: unknown): void => {
    const acts = { mine: actOf(was, my), theirs: actOf(was, their) }
    if (acts.mine === null && acts.theirs === null) return
    const isConflict = acts.mine !== null && acts.theirs !== null && !isSame(my, their)
    found.push({
      key,
      what,
      ...acts,
      parts: { mine: partsOf(was, my), theirs: partsOf(was, their) },
      isConflict,
    })
  }
  for (const [key, what] of Object.entries(words) as [keyof typeof words, string][])
    look(key, what, base[key] ?? undefined, mine[key] ?? undefined, theirs[key] ?? undefined)
  for (const [key, what] of Object.entries(settings) as [keyof typeof settings, string][])
    look(key, what, base.document[key], mine.document[key], theirs.document[key])
  for (const id of idsOf(base, mine, theirs)) {
    const [was, my, their] = [base, mine, theirs].map((draft) => panelOf(draft, id))
    const title = (my ?? their ?? was)?.title ?? id
    look(
      `panel:${id}`,
      `the panel “${title}”`,
      was && contentOf(was),
      my && contentOf(my),
      their && contentOf(their),
    )
  }
  look('arrangement', 'the arrangement', placesOf(base, base), placesOf(base, mine), placesOf(base, theirs))
  return found
}

/**
 * One board of both: what only one side changed is taken from it, what both changed from the side that `choices` names, mine where it names none.
 */
export function merged(
  base: Draft,
  mine: Draft,
  theirs: Draft,
  choices: ReadonlyMap<string, Side> = new Map(),
): Draft {
  const found = new Map(differences(base, mine, theirs).map((difference) => [difference.key, difference]))
  const sideOf = (key: string): Draft => {
    const difference = found.get(key)
    if (!difference || difference.mine === null) return theirs
    if (difference.theirs === null) return mine
    return choices.get(key) === 'theirs' ? theirs : mine
  }
  // where nobody rearranged, panels that came or went may still have moved others on one side
  const hasMoved = base.document.panels.some(({ id, place }) => {
    const now = panelOf(mine, id)
    return now !== undefined && !isSame(now.place, place)
  })
  const arranged = found.has('arrangement') ? sideOf('arrangement') : hasMoved ? mine : theirs
  const other = arranged === mine ? theirs : mine
  const panels = idsOf(mine, theirs).flatMap((id): Panel[] => {
    const panel = panelOf(sideOf(`panel:${id}`), id)
    if (!panel) return []
    const place = (panelOf(arranged, id) ?? panelOf(other, id) ?? panel).place
    return [{ ...panel, place }]
  })
  const { range } = sideOf('range').document
  const { refresh } = sideOf('refresh').document
  return {
    name: sideOf('name').name,
    description: sideOf('description').description,
    document: { range, ...(refresh === undefined ? {} : { refresh }), panels: compact(panels) },
  }
}

function actOf(was: unknown, is: unknown): Act | null {
  if (isSame(was, is)) return null
  if (was === undefined) return 'added'
  return is === undefined ? 'removed' : 'changed'
}

type Content = Omit<Panel, 'place' | 'id'>

function contentOf({ place: _place, id: _id, ...content }: Panel): Content {
  return content
}

function partsOf(was: unknown, is: unknown): readonly string[] {
  if (typeof was !== 'object' || typeof is !== 'object' || was === null || is === null) return []
  const [before, after] = [was as Partial<Content>, is as Partial<Content>]
  return panelParts.filter((part) => !isSame(before[part], after[part]))
}

function panelOf(draft: Draft, id: string): Panel | undefined {
  return draft.document.panels.find((panel) => panel.id === id)
}

function idsOf(...drafts: readonly Draft[]): string[] {
  return [...new Set(drafts.flatMap((draft) => draft.document.panels.map(({ id }) => id)))]
}

/** Of the panels that were there before: adding one is no rearrangement, and neither is what moves up after one was removed. */
function placesOf(base: Draft, draft: Draft): Readonly<Record<string, Place>> {
  const kept = base.document.panels.filter(({ id }) => panelOf(draft, id))
  const places: [string, Place][] = []
  const before = new Map(compact(kept).map(({ id, place }) => [id, place]))
  const now = new Map(
    compact(kept.map((panel) => panelOf(draft, panel.id) as Panel)).map(({ id, place }) => [id, place]),
  )
  const isAsBefore = kept.every(({ id }) => isSame(before.get(id), now.get(id)))
  for (const { id, place } of base.document.panels)
    places.push([id, isAsBefore ? place : (now.get(id) ?? place)])
  return Object.fromEntries(places)
}
