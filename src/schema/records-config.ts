import type { ProblemList } from './problems.ts'
import { Section } from './section.ts'

export interface RecordsSectionOptions {
  /**
   * Whether a change of a row by its key has to say which version of it is meant (`If-Match`), in all tables or in those that are
   * named. Default false: without one the last write wins.
   */
  readonly requireVersion?: boolean | readonly string[]
}

export interface RecordsConfig {
  readonly requireVersion: boolean | readonly string[]
}

export const recordsConfigDefaults: RecordsConfig = Object.freeze({ requireVersion: false })

/** @param names of the tables and hypertables that are declared. */
export function readRecords(problems: ProblemList, input: unknown, names: readonly string[]): RecordsConfig {
  const section = Section.read(problems, '.records', input, ['requireVersion'])
  const given = section.input['requireVersion']
  if (!Array.isArray(given))
    return Object.freeze({
      requireVersion: section.boolean('requireVersion', recordsConfigDefaults.requireVersion as boolean),
    })
  given.forEach((name, i) => {
    if (!names.includes(name as string))
      problems.add(
        `.records.requireVersion[${i}]`,
        `${JSON.stringify(name)} is not the name of a declared table`,
      )
  })
  return Object.freeze({ requireVersion: Object.freeze([...given] as string[]) })
}
