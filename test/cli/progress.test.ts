import { expect, it } from 'vitest'
import { createProgressBar, type ProgressState } from '../../src/cli/progress.ts'

/** The line of a terminal. */
function line(state: ProgressState): string {
  let written = ''
  const stream = { isTTY: true, columns: 120, write: (text: string) => (written += text) }
  createProgressBar(stream as never, 'freeze').update(state)
  return written.replace('\r\x1b[2K', '')
}

it('tells how long it will take, for as long as something is left', () => {
  const state = { share: 0.5, text: 'chunk 2 of 4', etaMs: 12_000 }
  expect(line(state)).toBe('freeze [██████████░░░░░░░░░░]  50 % chunk 2 of 4, 12.0 s left')
  expect(line({ ...state, share: 1, etaMs: 0 })).toBe('freeze [████████████████████] 100 % chunk 2 of 4')
  expect(line({ share: null, text: 'reading', etaMs: null })).toBe('freeze reading')
})
