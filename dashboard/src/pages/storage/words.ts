import type { NextAct, StoredChunk } from 'tidemark/client'
import { formatAgo, formatInstant, formatMs } from '../../format/index.ts'
import { lookOf } from './chunk-columns.ts'

/** The time of a chunk: a day alone where it is one, minutes only where they matter. */
export function spanText(from: string | number, to: string | number, zone: string): string {
  const begin = formatInstant(from, zone, { precision: 'minute' })
  const end = formatInstant(to, zone, { precision: 'minute' })
  if (!begin.endsWith('00:00') || !end.endsWith('00:00')) return `${begin} – ${unsaid(begin, end)}`
  const day = begin.slice(0, -6)
  // the last day that is in it
  const last = formatInstant(new Date(to).getTime() - 1, zone, { precision: 'day' })
  return day === last ? day : `${day} – ${last}`
}

/** Of an end what its beginning has not said: the time on the same day, without the year in the same year. */
function unsaid(begin: string, end: string): string {
  if (begin.slice(0, 10) === end.slice(0, 10)) return end.slice(11)
  return begin.slice(0, 5) === end.slice(0, 5) ? end.slice(5) : end
}

export type ChunkWord = 'hot' | 'cold' | 'delta' | 'freezing' | 'moving' | 'failed'

export function chunkWord(chunk: StoredChunk): ChunkWord {
  const look = lookOf({ state: chunk.state, isMoving: chunk.isMoving, hasError: chunk.error !== null })
  if (look === 'moving') return chunk.state === 'freezing' ? 'freezing' : 'moving'
  return look
}

export const chunkMeanings: Readonly<Record<ChunkWord, string>> = {
  hot: 'rows in PostgreSQL',
  cold: 'files in the lake',
  delta: 'in the lake, with late rows in PostgreSQL that are folded in later',
  freezing: 'on its way into the lake; readers and writers do not wait',
  moving: 'its rows are moved at this moment; readers and writers do not wait',
  failed: 'the last try to move it failed; its rows are where they were',
}

const actWords: Readonly<Record<NextAct['act'], readonly [will: string, late: string]>> = {
  freeze: ['freezes', 'to be frozen'],
  drop: ['is dropped', 'to be dropped'],
  compact: ['late rows are folded in', 'late rows to be folded in'],
}

/** What happens to a chunk by itself, and what that waits for. */
export function nextWords(
  { next, isMoving }: Pick<StoredChunk, 'next' | 'isMoving'>,
  now: number,
  zone: string,
): { readonly text: string; readonly waitsFor: string | null } {
  if (isMoving) return { text: 'under way now', waitsFor: null }
  if (next === null) return { text: 'stays as it is', waitsFor: null }
  const [will, late] = actWords[next.act]
  const at = Date.parse(next.at)
  const waitsFor = next.waitsFor === null ? null : inZone(next.waitsFor, zone)
  if (at > now) return { text: `${will} ${formatAgo(at, now)}`, waitsFor }
  if (waitsFor === null) return { text: `${will} at the worker's next run`, waitsFor: null }
  return { text: `${late} for ${formatMs(Math.max(1000, now - at))}`, waitsFor }
}

const instants = /\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z/g

/** Instants within words of the server, as the reader's clock says them. */
export function inZone(text: string, zone: string): string {
  return text.replace(instants, (instant) => formatInstant(instant, zone))
}

export function sentence(text: string): string {
  return /[.!?:]$/.test(text) ? text : `${text}.`
}
