import { TidemarkError } from '../util/errors.ts'
import type { DeadLetter } from './ledger.ts'
import { deadShareAfter, type ResolvedImportOptions } from './options.ts'

/** Counts the dead letters of an import and says when they are too many to go on. */
export class DeadLimit {
  readonly #file: string
  readonly #options: Pick<ResolvedImportOptions, 'strict' | 'maxDead' | 'maxDeadShare'>
  #dead: number

  /** `dead`: those of earlier runs. */
  constructor(
    file: string,
    options: Pick<ResolvedImportOptions, 'strict' | 'maxDead' | 'maxDeadShare'>,
    dead: number,
  ) {
    this.#file = file
    this.#options = options
    this.#dead = dead
  }

  /** The error with which the import has to end, or null. `records`: those read so far, where their share counts. */
  add(letters: readonly DeadLetter[], records: number | null): TidemarkError | null {
    const last = letters.at(-1)
    if (last === undefined) return null
    if (this.#options.strict) return this.#strict(last)
    this.#dead += letters.length
    const { maxDead, maxDeadShare } = this.#options
    if (this.#dead > maxDead) return this.#tooMany(last, `more than maxDead (${maxDead})`)
    if (records !== null && records >= deadShareAfter && this.#dead > records * maxDeadShare)
      return this.#tooMany(last, `more than maxDeadShare (${maxDeadShare}) of the first ${records} records`)
    return null
  }

  #strict(letter: DeadLetter): TidemarkError {
    return new TidemarkError('TM_IMPORT', {
      file: this.#file,
      problem: describe(letter),
      todo: 'correct the row, or leave strict out: then it becomes a dead letter',
    })
  }

  #tooMany(letter: DeadLetter, limit: string): TidemarkError {
    return new TidemarkError('TM_IMPORT', {
      file: this.#file,
      problem: `${this.#dead} records do not fit, ${limit}; the last one: ${describe(letter)}`,
      todo: 'correct the options (a dry run shows what was guessed), or raise the limit',
    })
  }
}

function describe(letter: DeadLetter): string {
  const column = letter.column === null ? '' : `, column "${letter.column}"`
  const value = letter.value === null ? '' : `, value ${JSON.stringify(letter.value.slice(0, 100))}`
  return `line ${letter.line}${column}${value}: ${letter.message} (${letter.reason})`
}
